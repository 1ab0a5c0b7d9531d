#!/usr/bin/env bash
# The targets over Kafka with their floors, measured on this machine in one run: `make bench-kafka`. Takes about 20 minutes on two
# cores, which broker, Redis, service and load driver share.
#
# QUICK=1 measures smaller workloads (for a look, not for figures). ONLY="catch_up latency ..." runs some of the parts:
# catch_up latency http checkpoints restart takeover.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${BENCH_SERVERS:-}" ]; then
  cargo build --release --locked --workspace --features loadtest/kafka
  target=$(cargo metadata --format-version 1 --no-deps | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
  # A broker as a server has it; that of the tests is made for a fast start.
  export BENCH_SERVERS=$target QUOTEGUARD_KAFKA_JVM="-Xms512m -Xmx1g"
  # Whatever servers are there already: these are our own.
  unset QUOTEGUARD_TEST_KAFKA QUOTEGUARD_TEST_REDIS
  exec scripts/services.sh run --only kafka,redis "$target/services-bench" -- scripts/bench_kafka.sh
fi

backlog=300000 secs=60 pairs=3
if [ -n "${QUICK:-}" ]; then backlog=60000 secs=10 pairs=1; fi
parts=${ONLY:-catch_up latency http checkpoints restart takeover}

quoteguard=$BENCH_SERVERS/release/quoteguard loadtest=$BENCH_SERVERS/release/loadtest
brokers=$QUOTEGUARD_TEST_KAFKA redis=$QUOTEGUARD_TEST_REDIS
work=$(mktemp -d "$BENCH_SERVERS/bench-kafka.XXXXXX")
services=() rows=() json=

finish() {
  local process
  for process in "${services[@]}"; do kill "$process" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

title() { printf '\n== %s\n' "$1"; }
# NAME JSON -> its first number of that name: of the latency, not of the driver's own lag behind it.
field() { grep -oE "\"$1\":[0-9.e+-]+" <<<"$2" | head -n 1 | cut -d: -f2; }
calculate() { awk "BEGIN { printf \"%.${2:-2}f\", $1 }"; }
ms() { calculate "$(field "$1" "$2")"; }
seconds() { calculate "$(field "$1" "$json")"; }

# WHAT MEASURED <=|>= TARGET UNIT [AIM]: one row of the table.
row() {
  local verdict=MISSED aim=""
  awk "BEGIN { exit !($2 $3 $4) }" && verdict=MET
  [ -z "${6:-}" ] || aim=" (aim $6)"
  rows+=("$(printf '%-7s %-62s %10s %s   target %s %s%s' "$verdict" "$1" "$2" "$5" "$3" "$4" "$aim")")
  echo "${rows[-1]}"
}

# NAME [LINE]...: topics, group and configuration of their own; LINEs belong to [kafka].
log() {
  local name=$1
  shift
  home=$work/$name topics=$name port=
  mkdir -p "$home"
  {
    printf '[time]\narrival = "%s"\n[redis]\nurl = "%s"\n[log]\nformat = "json"\n' "${arrival:-log}" "$redis"
    printf '[kafka]\nbrokers = "%s"\ngroup = "%s"\n' "$brokers" "$name"
    printf '%s\n' "$@"
    printf '[kafka.topics]\n'
    printf '%s = "%s"\n' quotes "$name.quotes" decisions "$name.decisions" dead_letters "$name.dlq" control "$name.control" \
      referrals "$name.referrals"
  } >"$home/quoteguard.toml"
  (cd "$home" && "$quoteguard" topics create --partitions 4 >/dev/null)
}

# Starts the service; its process is in `service`.
launch() {
  (cd "$home" && exec "$quoteguard" serve --listen 127.0.0.1:0) 2>>"$home/service.log" &
  service=$!
  services+=("$service")
}

# COUNT TEXT: until the log of the services says it so often.
await() {
  local deadline=$((SECONDS + 120))
  until [ "$(grep -c "$2" "$home/service.log" || true)" -ge "$1" ]; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 20 "$home/service.log" >&2
      echo "scripts/bench_kafka.sh: no '$2' in the service's log" >&2
      exit 1
    fi
    sleep 0.05
  done
}
taken_over() { await "$1" '"message":"the partition is taken over"'; }

stop() {
  kill -TERM "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

# Puts the rule book in force ahead of the backlog.
prepare() {
  : >"$home/service.log"
  launch
  taken_over 4
  stop "$service"
}

# The backlog is produced while nobody reads.
fill() { "$loadtest" kafka fill --brokers "$brokers" --topic "$topics.quotes" --in "$work/backlog.jsonl"; }

# The backlog decided by a service started now, which goes on running; how it went is in `json`.
catch_up() {
  local since
  since=$(date +%s%3N)
  launch
  "$loadtest" kafka catch-up --brokers "$brokers" --decisions "$topics.decisions" --dead-letters "$topics.dlq" \
    --quotes "$(wc -l <"$work/backlog.jsonl")" --since-ms "$since" --json >"$home/catch-up.json"
  json=$(<"$home/catch-up.json")
}

# COMMAND OPTION...: the driver on this log, going on after the backlog.
live() {
  "$loadtest" kafka "$1" --brokers "$brokers" --quotes "$topics.quotes" --decisions "$topics.decisions" --in "$work/live.jsonl" "${@:2}"
}
# PROCESS COMMAND...: quotes at a rate after the backlog, the process killed after 15 s, and COMMAND then; the outcome is in `json`.
outage() {
  local killed=$1 driver
  live outage --rate 500 --secs $((secs / 2 + 10)) --begin "$(after_backlog)" --kill "$killed" --after-secs 15 --json >"$home/outage" &
  driver=$!
  wait "$killed" 2>/dev/null || true
  "${@:2}"
  wait "$driver" || true
  json=$(<"$home/outage")
  printf 'silence %s s, caught up %s s after the kill; %s of %s quotes undecided, %s decided twice; before: p50 %s ms, p99 %s ms\n' \
    "$(seconds silence_secs)" "$(seconds caught_up_secs)" "$(field undecided "$json")" "$(field quotes "$json")" \
    "$(field repeated "$json")" "$(ms p50_ms "$json")" "$(ms p99_ms "$json")"
}
after_backlog() { tail -n 1 "$work/backlog.jsonl" | sed -E 's/.*"submitted_at":"([^"]*)".*/\1/'; }

part_catch_up() {
  title "catch-up of $backlog quotes, checkpoints every second"
  arrival=event log catch-up 'checkpoint_ms = 1000'
  prepare
  printf 'filling (lz4)           '; fill
  printf 'no-op consumer          '; "$loadtest" kafka read --brokers "$brokers" --topic "$topics.quotes"
  catch_up
  printf 'first decision after %s s, last after %s s; %s/s between them; %s records emitted\n' "$(seconds first_secs)" \
    "$(seconds last_secs)" "$(calculate "$(field per_second_decided "$json")" 0)" "$(field emitted "$json")"
  stop "$service"
  row "catch-up from the start of the service" "$(calculate "$(field per_second "$json")" 0)" '>=' 20000 quotes/s 40000
}

part_latency() {
  local rate floor
  # Topics that no service reads.
  log floor
  log latency
  : >"$home/service.log"
  launch
  taken_over 4
  # What single quotes run through in broker and service is warmed up as well; a backlog goes another way.
  live latency --rate 2000 --secs "$((secs / 2))" >/dev/null
  for rate in 500 2000; do
    title "latency at $rate/s through the topic, $secs s"
    floor=$("$loadtest" kafka round-trip --brokers "$brokers" --topic floor.quotes --in "$work/live.jsonl" --rate "$rate" \
      --secs "$((secs / 2))" --json)
    echo "produce-consume round trip: p50 $(ms p50_ms "$floor") ms, p99 $(ms p99_ms "$floor") ms"
    json=$(live latency --rate "$rate" --secs "$secs" --json) || true
    echo "p50 $(ms p50_ms "$json") ms, p90 $(ms p90_ms "$json") ms, p99 $(ms p99_ms "$json") ms," \
      "p99.9 $(ms p999_ms "$json") ms, max $(ms max_ms "$json") ms; $(field undecided "$json") undecided"
    row "latency at $rate/s, p50" "$(ms p50_ms "$json")" '<=' 5 ms
    row "latency at $rate/s, p99" "$(ms p99_ms "$json")" '<=' 20 ms
  done
  stop "$service"
}

part_http() {
  title "HTTP through Kafka, 500/s, $secs s"
  log http
  : >"$home/service.log"
  launch
  taken_over 4
  port=$(sed -nE 's/.*"message":"listening".*"address":"[^"]*:([0-9]+)".*/\1/p' "$home/service.log" | tail -n 1)
  local url=http://127.0.0.1:$port/v1/quotes/check
  "$loadtest" http --url "$url" --in "$work/live.jsonl" --rate 500 --secs 5 >/dev/null
  json=$("$loadtest" http --url "$url" --in "$work/live.jsonl" --rate 500 --secs "$secs" --report) || true
  echo "p50 $(ms p50_ms "$json") ms, p90 $(ms p90_ms "$json") ms, p99 $(ms p99_ms "$json") ms, p99.9 $(ms p999_ms "$json") ms," \
    "max $(ms max_ms "$json") ms; errors $(sed -E 's/.*"errors":(\{[^}]*\}).*/\1/' <<<"$json")"
  row "HTTP through Kafka at 500/s, p50" "$(ms p50_ms "$json")" '<=' 6 ms
  row "HTTP through Kafka at 500/s, p99" "$(ms p99_ms "$json")" '<=' 25 ms
  stop "$service"
}

part_checkpoints() {
  title "checkpoint cost: catch-up with checkpoints each second / with none, $pairs interleaved pairs"
  local pair kind every ratios=()
  local -A rate
  for pair in $(seq "$pairs"); do
    for kind in with without; do
      every=1000
      [ "$kind" = with ] || every=3600000
      arrival=event log "checkpoints-$pair-$kind" "checkpoint_ms = $every"
      prepare
      fill >/dev/null
      catch_up
      stop "$service"
      rate[$kind]=$(field per_second_decided "$json")
      printf '%-8s %s/s from the first decision\n' "$kind" "$(calculate "${rate[$kind]}" 0)"
    done
    ratios+=("$(calculate "${rate[with]} / ${rate[without]}" 3)")
  done
  row "checkpoints each second / none, median of ${ratios[*]}" "$(printf '%s\n' "${ratios[@]}" | sort -n | sed -n "$((pairs / 2 + 1))p")" \
    '>=' 0.90 '' 0.95
}

# NAME LINE...: a log whose backlog is decided by a running service.
with_backlog() {
  arrival=event log "$@"
  prepare
  fill >/dev/null
  : >"$home/service.log"
  catch_up
}

part_restart() {
  title "kill -9 and restart of the same instance (static membership), $backlog live attempts, 500/s running"
  with_backlog restart 'instance_id = "one"'
  outage "$service" launch
  stop "$service"
  row "restart: silence" "$(seconds silence_secs)" '<=' 3 s
  row "restart: caught up" "$(seconds caught_up_secs)" '<=' 5 s
}

# SESSION_TIMEOUT_MS TARGET WORDS
takeover() {
  title "takeover by another instance, $3, $backlog live attempts, 500/s running"
  local first
  with_backlog "takeover-$1" "session_timeout_ms = $1"
  first=$service
  launch
  # Four of the first, two that moved.
  taken_over 6
  outage "$first" true
  stop "$service"
  row "takeover, $3: silence" "$(seconds silence_secs)" '<=' "$2" s
}

part_takeover() {
  takeover 6000 9 "session of 6 s (stock broker)"
  takeover 1000 3 "session of 1 s (group.min.session.timeout.ms=1000)"
}

title "machine"
printf '%s, %s cores, %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
"$loadtest" generate --seed 11 --quotes "$backlog" --mix normal --days 29 --tenants 32 --out "$work/backlog.jsonl" \
  --truth "$work/truth.jsonl" 2>/dev/null
"$loadtest" generate --seed 12 --quotes 60000 --mix normal --days 29 --tenants 32 --out "$work/live.jsonl" \
  --truth "$work/truth.jsonl" 2>/dev/null
# A broker that has run for a while has compiled its code: one catch-up that does not count.
with_backlog warm-up
stop "$service"
for part in $parts; do "part_$part"; done

title "targets"
printf '%s\n' "${rows[@]}"
