#!/usr/bin/env bash
# How the service bears load, each with a verdict on every target and a report page in target/load: `make soak`, `make overload`.
#   soak      60 % of the peak for SOAK_SECS (1800) with a retention of a sixth of that (5 minutes): memory, errors, latency;
#             then a third as long up to limits.live_attempts_max
#   overload  five times the peak for OVERLOAD_SECS (60): goodput, refusals, what is in the store
# OVER=kafka drives the soak through the topic, and the overload over HTTP in front of it. MIX=normal|stress|attack|hot-block|key-flood.
# A SOAK_SECS below 600 is for a look: what has expired goes by whole minutes, and memory is a saw between.
# A page shows the run beside the one before it, which is kept. QUOTEGUARD_BINARIES names a folder of binaries that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:?scripts/load.sh soak|overload} over=${OVER:-http} mix=${MIX:-normal}
soak_secs=${SOAK_SECS:-1800} overload_secs=${OVERLOAD_SECS:-60} peak_secs=${PEAK_SECS:-20}
# Queued quotes wait for those before them: so many at the peak are less than a tenth of a second, and what is more is refused at once.
queue_max=256
connections=1000

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
binaries=${QUOTEGUARD_BINARIES:-$target/release}
if [ -z "${LOAD_BUILT:-}" ]; then
    if [ -z "${QUOTEGUARD_BINARIES:-}" ]; then
        cargo build --release --locked --workspace --features loadtest/kafka
    fi
    export LOAD_BUILT=yes
    if [ "$over" = kafka ]; then
        unset QUOTEGUARD_TEST_KAFKA QUOTEGUARD_TEST_REDIS
        export QUOTEGUARD_KAFKA_JVM="-Xms512m -Xmx1g"
        exec scripts/services.sh run --only kafka,redis "$target/services-load" -- scripts/load.sh "$mode"
    fi
fi
quoteguard=$binaries/quoteguard loadtest=$binaries/loadtest
pages=$target/load
mkdir -p "$pages"
work=$(mktemp -d "$target/load.XXXXXX")
service='' log='' missed=0

finish() {
    [ -z "$service" ] || kill -KILL "$service" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

title() { printf '\n== %s\n' "$1"; }
calculate() { awk "BEGIN { printf \"%.${2:-0}f\", $1 }"; }

# NAME SETTING...: starts the service with an empty log; SETTINGs are KEY=VALUE of its environment. Sets service and url.
start() {
    local name=$1 address
    shift
    log=$work/$name.log
    if [ "$over" = kafka ]; then
        set -- "$@" QUOTEGUARD__KAFKA__BROKERS="$QUOTEGUARD_TEST_KAFKA" QUOTEGUARD__REDIS__URL="$QUOTEGUARD_TEST_REDIS" \
            QUOTEGUARD__KAFKA__GROUP="$name" QUOTEGUARD__STORAGE__PATH="$work/$name.db"
        local topic
        for topic in QUOTES DECISIONS DEAD_LETTERS CONTROL REFERRALS; do
            set -- "$@" "QUOTEGUARD__KAFKA__TOPICS__$topic=$name.${topic,,}"
        done
        env "$@" "$quoteguard" topics create --partitions 4 >/dev/null
    fi
    env "$@" QUOTEGUARD__LOG__FORMAT=json QUOTEGUARD__LIMITS__QUEUE_MAX=$queue_max "$quoteguard" serve --listen 127.0.0.1:0 \
        --data "$work/$name.db" 2>"$log" &
    service=$!
    until address=$(sed -n 's/.*"message":"listening".*"address":"\([^"]*\)".*/\1/p' "$log" | head -n 1) && [ -n "$address" ]; do
        kill -0 "$service" || { tail -n 20 "$log" >&2; exit 1; }
        sleep 0.05
    done
    url=http://$address
    until "$quoteguard" health --url "$url" >/dev/null 2>&1; do
        kill -0 "$service" || { tail -n 20 "$log" >&2; exit 1; }
        sleep 0.1
    done
}

stop() {
    kill -TERM "$service"
    wait "$service" || { tail -n 20 "$log" >&2; exit 1; }
    service=
}

# OPTION...: over HTTP.
http() { "$loadtest" http --url "$url/v1/quotes/check" --in "$work/quotes.jsonl" "$@"; }

# NAME RATE SECS: open loop, as OVER says; the run goes to the pages.
drive() {
    [ ! -f "$pages/$1.json" ] || mv "$pages/$1.json" "$pages/$1.before.json"
    local keep=(--run "$pages/$1.json" --name "$1, $over, $mix" --pid "$service" --metrics "$url")
    if [ "$over" = kafka ]; then
        "$loadtest" kafka latency --brokers "$QUOTEGUARD_TEST_KAFKA" --quotes "$1.quotes" --decisions "$1.decisions" \
            --in "$work/quotes.jsonl" --rate "$2" --secs "$3" --warm-up-secs 0 "${keep[@]}" || true
    else
        http --rate "$2" --secs "$3" --connections 64 "${keep[@]}" || true
    fi
}

# NAME OPTION...: verdicts and page.
judge() {
    local before=()
    [ ! -f "$pages/$1.before.json" ] || before=("$pages/$1.before.json")
    "$loadtest" report "$pages/$1.json" "${before[@]}" --html "$pages/$1.html" "${@:2}" || missed=1
}

# What saturates the service, answers a second, in `peak`.
measure_peak() {
    title "peak: 64 connections that send as soon as they are answered, $peak_secs s"
    start peak
    http --saturate --connections 64 --secs 3 >/dev/null || true
    peak=$(http --saturate --connections 64 --secs "$peak_secs" --report | grep -oE '"achieved_rate":[0-9.]+' | cut -d: -f2)
    stop
    printf '%s/s\n' "$(calculate "$peak")"
}

# The shipped rules with windows that the short retention holds.
short_rules() {
    local rule
    mkdir "$work/rules"
    for rule in rules/*.yaml; do
        sed -E "s/\{type: duration, default: [^,]*, *min: [^,]*, *max: [^,]*, *sweep: [^]]*\]/{type: duration, default: ${1}s, min: 1s, max: ${1}s/" \
            "$rule" >"$work/$rule"
    done
}

soak() {
    local retention=$((soak_secs / 6)) rate cap_secs=$((soak_secs / 3)) cap
    [ "$retention" -ge 10 ] || { echo "SOAK_SECS must be 60 or more" >&2; exit 2; }
    measure_peak
    rate=$(calculate "$peak * 0.6")
    title "soak: $rate/s for $soak_secs s, retention $retention s"
    short_rules "$retention"
    start soak QUOTEGUARD__TIME__RETENTION_SECS="$retention" QUOTEGUARD__TIME__LATENESS_HTTP_SECS=5 \
        QUOTEGUARD__TIME__LATENESS_STREAM_SECS=5 QUOTEGUARD__TIME__MAX_SKEW_SECS=5 QUOTEGUARD__RULES__DIR="$work/rules"
    drive soak "$rate" "$soak_secs"
    stop
    judge soak --targets soak
    cap=$(calculate "$rate * $cap_secs / 4")
    title "the same up to $cap live attempts, $cap_secs s"
    start cap QUOTEGUARD__LIMITS__LIVE_ATTEMPTS_MAX="$cap"
    drive cap "$rate" "$cap_secs"
    echo "look-back at the end: $(curl -fsS "$url/metrics" | sed -n 's/^quoteguard_look_back_seconds //p') s"
    [ "$over" = kafka ] || echo "decisions flagged truncated: $(python3 -c 'import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("SELECT sum(instr(json, ?) > 0), count(*) FROM decisions", ("\"truncated\"".encode(),)).fetchone(), sep=" of ")' "$work/cap.db")"
    stop
    judge cap --targets cap --live-attempts-max "$cap"
}

overload() {
    measure_peak
    local rate
    rate=$(calculate "$peak * 5")
    title "overload: $rate/s for $overload_secs s from $connections connections"
    start overload
    [ ! -f "$pages/overload.json" ] || mv "$pages/overload.json" "$pages/overload.before.json"
    http --rate "$rate" --secs "$overload_secs" --connections $connections --no-drain --run "$pages/overload.json" \
        --name "overload, $over, $mix" --pid "$service" --metrics "$url" --accepted "$work/accepted" || true
    stop
    if [ "$over" = kafka ]; then
        "$loadtest" kafka decided --brokers "$QUOTEGUARD_TEST_KAFKA" --topic overload.decisions >"$work/stored"
    else
        python3 -c 'import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("SELECT DISTINCT quote_id FROM decisions"): print(row[0])' "$work/overload.db" >"$work/stored"
    fi
    judge overload --targets overload --peak "$peak" --ids "$work/accepted" "$work/stored"
}

title "machine"
printf '%s, %s cores, %s; service and driver share it\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
"$loadtest" generate --seed 31 --quotes 200000 --mix "$mix" --days 29 --tenants 32 --out "$work/quotes.jsonl" --truth "$work/truth.jsonl" 2>/dev/null
case "$mode" in
    soak) soak ;;
    overload) overload ;;
    *) echo "scripts/load.sh: $mode is neither soak nor overload" >&2; exit 2 ;;
esac
[ "$missed" = 0 ]
