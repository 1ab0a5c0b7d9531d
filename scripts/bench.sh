#!/usr/bin/env bash
# All targets with their floors, measured on this machine in one run: `make bench`. Takes about 20 minutes on two cores.
#
# QUICK=1 measures smaller workloads (for a look, not for figures). SEEDS="1 2 3" chooses the seeds of the labelled workload.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${SEEDS:-"401 402 403"}
stress=200000 replayed=600000 tested=1000000 live=1000000 secs=60
if [ -n "${QUICK:-}" ]; then stress=50000 replayed=100000 tested=100000 live=100000 secs=10; fi

target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
cargo build --release --locked --workspace
quoteguard=$target/release/quoteguard loadtest=$target/release/loadtest
work=$(mktemp -d "$target/bench.XXXXXX")
service=
trap '[ -z "$service" ] || kill "$service" 2>/dev/null || true; rm -rf "$work"' EXIT

title() { printf '\n== %s\n' "$1"; }

# Starts the service on a port of its own and waits until it is ready.
start() {
  "$quoteguard" serve --listen "127.0.0.1:$port" --data "$work/bench.db" "$@" 2>>"$work/service.log" &
  service=$!
  until curl -fsS -o /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null; do
    kill -0 "$service" || { cat "$work/service.log"; exit 1; }
    sleep 0.02
  done
}
stop() { kill "-$1" "$service"; wait "$service" 2>/dev/null || true; service=; }
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

title "machine"
printf '%s, %s cores, %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
"$loadtest" fdatasync --dir "$work" --secs 5

title "engine step, memory, and the dearest step: a late quote into hot blocks"
cargo bench --locked -q --bench engine -- "$live"

title "replay"
"$loadtest" generate --seed 9 --quotes "$replayed" --mix normal --days 29 --out "$work/replay.jsonl" --truth "$work/replay.truth" >/dev/null
cargo bench --locked -q --bench replay -- "$work/replay.jsonl" 3

title "backtest of $tested quotes, 8 candidate books in one pass (target 25,000 quotes/s), memory bounded by the window"
# Eight values of one rule's parameters are swept.
mkdir "$work/rules"
for rule in rules/*.yaml; do
  if [ "$rule" = rules/picking-24h.yaml ]; then cp "$rule" "$work/rules"; else sed -E 's/, *sweep: \[[^]]*\]//' "$rule" > "$work/rules/${rule#rules/}"; fi
done
"$loadtest" generate --seed 11 --quotes "$tested" --mix normal --days 90 --out "$work/tested.jsonl" --truth "$work/tested.truth" >/dev/null
python3 scripts/bench_backtest.py "$quoteguard" backtest --input "$work/tested.jsonl" --baseline "$work/rules" --sweep --json "$work/tested.json"
rm "$work/tested.jsonl"

title "HTTP, durable before the answer"
start
"$loadtest" http --url "http://127.0.0.1:$port/v1/quotes/check" --in "$work/replay.jsonl" --rate 1000 --secs "$secs"
title "HTTP saturated, durable"
"$loadtest" http --url "http://127.0.0.1:$port/v1/quotes/check" --in "$work/replay.jsonl" --saturate --connections 256 --secs $((secs / 3))
stop TERM

title "kill -9 to the first answer, $live live attempts"
rm -f "$work"/bench.db*
mkdir -p "$work/watch"
cat > "$work/event.toml" <<TOML
[time]
arrival = "event"
TOML
"$loadtest" generate --seed 10 --quotes "$live" --mix normal --days 29 --out "$work/live.tmp" --truth "$work/live.truth" >/dev/null
lines=$(wc -l < "$work/live.tmp")
mv "$work/live.tmp" "$work/watch/live.jsonl"
start --config "$work/event.toml" --watch "$work/watch"
position() { curl -fsS "http://127.0.0.1:$port/metrics" | sed -n 's/^quoteguard_checks_total.* \([0-9]*\)$/\1/p' | awk '{n += $1} END {print n + 0}'; }
duplicates() { curl -fsS "http://127.0.0.1:$port/metrics" | sed -n 's/^quoteguard_duplicate_quotes_total.* \([0-9]*\)$/\1/p' | awk '{n += $1} END {print n + 0}'; }
dead() { curl -fsS "http://127.0.0.1:$port/metrics" | sed -n 's/^quoteguard_dead_letters_total.* \([0-9]*\)$/\1/p' | awk '{n += $1} END {print n + 0}'; }
began=$(date +%s)
until [ $(($(position) + $(duplicates) + $(dead))) -ge "$lines" ]; do sleep 1; done
printf 'watched folder taken in: %s quotes in %s s\n' "$lines" $(($(date +%s) - began))
curl -fsS "http://127.0.0.1:$port/metrics" | grep -E '^quoteguard_(live_attempts|state_bytes)'
stop KILL
# The newest form again under a new id: the engine has to look at the whole window for it.
last=$(tail -1 "$work/watch/live.jsonl" | sed -E 's/"quote_id":"[^"]*"/"quote_id":"after-the-kill"/')
before=$(date +%s%N)
start --config "$work/event.toml" --watch "$work/watch"
curl -fsS -o /dev/null -H 'content-type: application/json' -d "$last" "http://127.0.0.1:$port/v1/quotes/check"
printf 'first answer after %d ms\n' $((($(date +%s%N) - before) / 1000000))
stop TERM

title "who is caught, who is referred by mistake (seeds $seeds)"
arguments=() naive=()
for seed in $seeds; do
  "$loadtest" generate --seed "$seed" --quotes "$stress" --mix stress --days 30 --out "$work/q.jsonl" --truth "$work/t$seed.jsonl" >/dev/null
  "$quoteguard" replay "$work/q.jsonl" --decisions "$work/d$seed.jsonl" 2>/dev/null >/dev/null
  "$loadtest" naive --in "$work/q.jsonl" --out "$work/n$seed.jsonl" >/dev/null
  arguments+=(--truth "$work/t$seed.jsonl" --decisions "$work/d$seed.jsonl")
  naive+=(--truth "$work/t$seed.jsonl" --decisions "$work/n$seed.jsonl")
done
"$loadtest" score "${arguments[@]}"
title "the naive detector on the same quotes (same device, phone, document or VIN; refer at the 4th)"
"$loadtest" score "${naive[@]}"
