#!/usr/bin/env bash
# What a quote costs, all in, over a real Kafka, Redis and PostgreSQL: the table of docs/capacity.md. `make capacity`.
# QUOTES (100000) is the unit: it is measured with one and two of it held over 4 partitions, then with one over 16.
# QUOTEGUARD_BINARIES names a folder of binaries that are built already.
set -euo pipefail
cd "$(dirname "$0")/.."

quotes=${QUOTES:-100000}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
servers=$target/services-capacity
binaries=${QUOTEGUARD_BINARIES:-$target/release}
if [ -z "${CAPACITY_BUILT:-}" ]; then
    if [ -z "${QUOTEGUARD_BINARIES:-}" ]; then
        cargo build --release --locked --workspace --features loadtest/kafka
    fi
    unset QUOTEGUARD_TEST_KAFKA QUOTEGUARD_TEST_REDIS QUOTEGUARD_TEST_POSTGRES
    export CAPACITY_BUILT=yes QUOTEGUARD_KAFKA_JVM="-Xms512m -Xmx1g"
    exec scripts/services.sh run "$servers" -- scripts/capacity.sh
fi
quoteguard=$binaries/quoteguard loadtest=$binaries/loadtest
brokers=$QUOTEGUARD_TEST_KAFKA redis=$QUOTEGUARD_TEST_REDIS postgres=$QUOTEGUARD_TEST_POSTGRES
work=$(mktemp -d "$target/capacity.XXXXXX")
service=''
finish() {
    [ -z "$service" ] || kill -KILL "$service" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

calculate() { awk "BEGIN { printf \"%.${2:-0}f\", $1 }"; }
metric() { curl -fsS "$url/metrics" | awk -v name="quoteguard_$1" '$1 ~ "^" name "([{]|$)" { sum += $2 } END { printf "%d", sum }'; }
redis_bytes() { redis-cli -u "$redis" info memory | tr -d '\r' | sed -n 's/^used_memory_dataset://p'; }
# Indexes are made in advance and do not grow.
topic_bytes() { find "$servers/kafka/data" -path "*/$1-*/*.log" -printf '%s\n' | awk '{ sum += $1 } END { printf "%d", sum }'; }
# Memory in bytes, and processor time in ticks of 10 ms.
resident() { awk '{ print $2 * 4096 }' "/proc/$service/statm"; }
ticks() { sed 's/.*) //' "/proc/$service/stat" | awk '{ print $12 + $13 }'; }

# WHAT SECONDS COMMAND...: until the command succeeds.
await() {
    local what=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "capacity.sh: waited in vain until $what" >&2; tail -n 20 "$work/service.log" >&2; exit 1; }
        sleep 0.5
    done
}
is_listening() {
    url=http://$(sed -n 's/.*"message":"listening".*"address":"\([^"]*\)".*/\1/p' "$work/service.log" | head -n 1)
    [ "$url" != http:// ]
}
# COUNT: so many quotes are on the desk and in the checkpoints.
is_done() { [ "$(psql -XAtq "$database" -c 'SELECT count(*) FROM decisions WHERE revision = 1')" -ge "$1" ]; }

# NAME QUOTES PARTITIONS: one column of the table, in `NAME` of each row's array.
measure() {
    local name=$1 count=$2 partitions=$3 redis_before resident_before
    head -n "$count" "$work/quotes.jsonl" >"$work/part.jsonl"
    database=${postgres%/*}/$name
    psql -XAtq "$postgres" -c "CREATE DATABASE $name" >/dev/null
    {
        printf '[time]\narrival = "event"\n[log]\nformat = "json"\n[redis]\nurl = "%s"\n[desk]\nurl = "%s"\n' "$redis" "$database"
        printf '[kafka]\nbrokers = "%s"\ngroup = "%s"\n[kafka.topics]\n' "$brokers" "$name"
        printf '%s = "%s"\n' quotes "$name.quotes" decisions "$name.decisions" dead_letters "$name.dlq" control "$name.control" \
            referrals "$name.referrals"
    } >"$work/quoteguard.toml"
    redis-cli -u "$redis" flushall >/dev/null
    redis_before=$(redis_bytes)
    (cd "$work" && "$quoteguard" topics create --partitions "$partitions" >/dev/null && "$quoteguard" migrate >/dev/null)
    (cd "$work" && exec "$quoteguard" serve --listen 127.0.0.1:0 --data "$name.db") 2>"$work/service.log" &
    service=$!
    await "the service listens" 60 is_listening
    await "it is ready" 60 "$quoteguard" health --url "$url" >/dev/null
    resident_before=$(resident)
    "$loadtest" kafka fill --brokers "$brokers" --topic "$name.quotes" --in "$work/part.jsonl" >/dev/null
    await "all is decided and on the desk" 1800 is_done "$((count * 99 / 100))"
    # The last checkpoint is saved.
    sleep 3
    local live
    live=$(metric live_attempts)
    rows[cpu]+=" | $(calculate "$(ticks) * 10000 / $count")"
    rows[resident]+=" | $(calculate "($(resident) - $resident_before) / $live")"
    rows[state]+=" | $(calculate "$(metric state_bytes) / $live")"
    rows[redis]+=" | $(calculate "($(redis_bytes) - $redis_before) / $live")"
    rows[quotes]+=" | $(calculate "$(topic_bytes "$name.quotes") / $count")"
    rows[decisions]+=" | $(calculate "$(topic_bytes "$name.decisions") / $count")"
    rows[postgres]+=" | $(calculate "$(psql -XAtq "$database" -c 'SELECT pg_database_size(current_database())') / $count")"
    rows[held]+=" | $live"
    heads+=" | $count, $partitions partitions"
    kill -TERM "$service"
    wait "$service" || true
    service=
}

# The embedded service: everything in two files.
embedded() {
    local count=$1
    mkdir "$work/watch"
    printf '[time]\narrival = "event"\n[log]\nformat = "json"\n[watch]\ndir = "%s"\n' "$work/watch" >"$work/embedded.toml"
    "$quoteguard" serve --config "$work/embedded.toml" --listen 127.0.0.1:0 --data "$work/embedded.db" 2>"$work/service.log" &
    service=$!
    await "the service listens" 60 is_listening
    head -n "$count" "$work/quotes.jsonl" >"$work/part.jsonl"
    mv "$work/part.jsonl" "$work/watch/"
    is_there() { [ "$(metric desk_records_total)" -ge $((count * 99 / 100)) ] && [ "$(metric desk_lag_records)" = 0 ]; }
    await "all is decided" 1800 is_there
    local cpu
    cpu=$(calculate "$(ticks) * 10000 / $count")
    kill -TERM "$service"
    wait "$service" || true
    service=
    printf '\nembedded, %s quotes from a file: %s us of processor; %s bytes of log and decisions, %s of desk, a quote\n' "$count" "$cpu" \
        "$(calculate "$(stat -c %s "$work/embedded.db") / $count")" "$(calculate "$(stat -c %s "$work/embedded-desk.db") / $count")"
}

declare -A rows=([cpu]='' [resident]='' [state]='' [redis]='' [quotes]='' [decisions]='' [postgres]='' [held]='')
heads=''
"$loadtest" generate --seed 41 --quotes $((quotes * 2)) --mix normal --days 29 --tenants 64 --out "$work/quotes.jsonl" --truth "$work/truth.jsonl" 2>/dev/null
printf '%s, %s cores, %s\n\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
measure one "$quotes" 4
measure two $((quotes * 2)) 4
measure many "$quotes" 16
printf '| a quote%s |\n|---|---:|---:|---:|\n' "$heads"
# shellcheck disable=SC2016  # Markdown
for row in 'cpu|processor of the service, µs, sink and emission included' 'resident|memory, bytes of RSS for a live attempt' \
    'state|of these the state, by its own count (`quoteguard_state_bytes`)' 'redis|Redis, bytes for a live attempt' \
    'quotes|topic `quotes`, bytes on disk' 'decisions|topic `decisions`, bytes on disk' 'postgres|PostgreSQL, bytes' 'held|live attempts at the end'; do
    printf '| %s%s |\n' "${row#*|}" "${rows[${row%%|*}]}"
done
embedded "$quotes"
