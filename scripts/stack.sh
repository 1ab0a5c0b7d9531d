#!/usr/bin/env bash
# The whole system without containers, as docker-compose.yml has it: Kafka, Redis and PostgreSQL, two instances of the service, Prometheus with
# the shipped rules, Alertmanager with the shipped routes. Prints where everything is; Ctrl-C ends all of it.
#   --once       end as soon as Prometheus has seen both instances ready
#   --dir DIR    keep the data there (target/stack); a second start there goes on with it
# QUOTEGUARD_BINARY names a binary that is built already.
set -euo pipefail
cd "$(dirname "$0")/.."

WAIT_SECS=120
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
once='' dir=$target/stack
while [ $# -gt 0 ]; do
    case "$1" in
        --once) once=yes ;;
        --dir) dir=$(realpath -m "${2:?--dir needs a folder}"); shift ;;
        *) echo "scripts/stack.sh: unknown argument '$1' (--once, --dir DIR)" >&2; exit 2 ;;
    esac
    shift
done

fail() {
    echo "stack.sh: $*" >&2
    exit 1
}

# PORT -> it, or a free one where somebody listens there.
port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((16384 + RANDOM % 16000))
    done
    echo "$port"
}

# WHAT COMMAND...: waits until the command succeeds; every process of the stack must live.
await() {
    local what=$1 deadline=$((SECONDS + WAIT_SECS)) pid
    shift
    until "$@" >/dev/null 2>&1; do
        for pid in "${pids[@]}"; do
            kill -0 "$pid" 2>/dev/null || fail "a process has ended; the logs are in $dir"
        done
        [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain until $what; the logs are in $dir"
        sleep 0.2
    done
}

# Newest first: Prometheus before what it watches, the instances before their servers.
stop() {
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    pids=()
    scripts/services.sh stop "$dir/servers"
}

# NAME COMMAND...: in the background, its output in DIR/NAME.log; a process group of its own, so that Ctrl-C reaches only us.
launch() {
    local name=$1
    shift
    set -m
    "$@" >>"$dir/$name.log" 2>&1 &
    pids+=($!)
    set +m
}

# QUERY -> its value.
prometheus_says() {
    curl -fsS -G "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode "query=$1" | grep -o '"[0-9.]*"\]' | tr -d '"]'
}

both_are_ready() {
    [ "$(prometheus_says 'sum(quoteguard_ready)')" = 2 ]
}

binary=${QUOTEGUARD_BINARY:-}
if [ -z "$binary" ]; then
    echo "Building (the first time takes some minutes) ..." >&2
    cargo build --quiet --release --locked --bin quoteguard
    binary=$target/release/quoteguard
fi

pids=()
mkdir -p "$dir"
trap stop EXIT
trap 'exit 130' INT TERM HUP
env -u QUOTEGUARD_TEST_KAFKA -u QUOTEGUARD_TEST_REDIS -u QUOTEGUARD_TEST_POSTGRES scripts/services.sh start "$dir/servers" >/dev/null
# shellcheck source=/dev/null
. "$dir/servers/env"
export QUOTEGUARD__KAFKA__BROKERS=$QUOTEGUARD_TEST_KAFKA QUOTEGUARD__REDIS__URL=$QUOTEGUARD_TEST_REDIS
export QUOTEGUARD__DESK__URL=$QUOTEGUARD_TEST_POSTGRES QUOTEGUARD__LOG__FORMAT=json
"$binary" topics create >"$dir/topics.log"

one=$(port 8081)
launch quoteguard-1 "$binary" serve --listen "127.0.0.1:$one"
two=$(port 8082)
launch quoteguard-2 "$binary" serve --listen "127.0.0.1:$two"
await "the first instance is ready" "$binary" health --url "http://127.0.0.1:$one"
await "the second instance is ready" "$binary" health --url "http://127.0.0.1:$two"

alertmanager=$(port 9093)
launch alertmanager prometheus-alertmanager --config.file=deploy/prometheus/alertmanager.yml --storage.path="$dir/alertmanager" \
    --web.listen-address="127.0.0.1:$alertmanager" --cluster.listen-address=
prometheus=$(port 9090)
# Beside its rules, which it names by their place.
ln -sfn "$PWD/deploy/prometheus/rules" "$dir/rules"
sed -e "s/\"quoteguard-1:8080\", \"quoteguard-2:8080\"/\"127.0.0.1:$one\", \"127.0.0.1:$two\"/" \
    -e "s/\"alertmanager:9093\"/\"127.0.0.1:$alertmanager\"/" -e "s/127.0.0.1:9090/127.0.0.1:$prometheus/" \
    -e 's/_interval: 15s/_interval: 5s/' deploy/prometheus/prometheus.yml >"$dir/prometheus.yml"
launch prometheus prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/prometheus" \
    --storage.tsdb.retention.time=45d --web.listen-address="127.0.0.1:$prometheus"
await "Prometheus has seen both instances" both_are_ready

cat <<END
quoteguard     http://127.0.0.1:$one  http://127.0.0.1:$two   (/console, /docs, /readyz, /metrics)
Kafka          $QUOTEGUARD_TEST_KAFKA
Redis          $QUOTEGUARD_TEST_REDIS
PostgreSQL     $QUOTEGUARD_TEST_POSTGRES
Prometheus     http://127.0.0.1:$prometheus/alerts
Alertmanager   http://127.0.0.1:$alertmanager
Logs and data  $dir
END
if [ -z "$once" ]; then
    echo "Ctrl-C ends all of it; what it holds is there again at the next start."
    trap 'echo; echo "Stopping ..."; exit 0' INT TERM HUP
    wait -n "${pids[@]}" || true
    fail "a process has ended; the logs are in $dir"
fi
