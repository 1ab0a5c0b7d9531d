#!/usr/bin/env bash
# Builds and starts the service with its SQLite file in ./data, shows the demo, and serves until Ctrl-C.
#   --once       end after the demo, with its status
#   --port PORT  listen there (8080, or a free port when that is taken)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/service.sh

once=
port=8080
while [ $# -gt 0 ]; do
    case "$1" in
        --once) once=yes ;;
        --port) port=${2:?--port needs a number}; shift ;;
        *) echo "scripts/run.sh: unknown argument '$1' (--once, --port PORT)" >&2; exit 2 ;;
    esac
    shift
done

echo "Building (the first time takes some minutes) ..." >&2
# The embedded service alone: minutes less, and no C++.
cargo build --quiet --release --locked --workspace --bins --no-default-features
binaries=${CARGO_TARGET_DIR:-target}/release

mkdir -p data
# The first account's password, where only the owner of the folder reads it.
export QUOTEGUARD__CONSOLE__FIRST_PASSWORD_FILE=data/console-password
log=data/quoteguard.log
trap 'stop_service || true' EXIT
trap 'exit 130' INT TERM HUP
if ! start_service "$binaries/quoteguard" "127.0.0.1:$port" data/quoteguard.db "$log"; then
    if ! grep -q "cannot listen on" "$log"; then
        cat "$log" >&2
        exit 1
    fi
    echo "Port $port is taken: a free one is used instead." >&2
    start_service "$binaries/quoteguard" 127.0.0.1:0 data/quoteguard.db "$log" || { cat "$log" >&2; exit 1; }
fi

status=0
"$binaries/loadtest" demo --url "http://$SERVICE_ADDRESS" || status=$?
if [ -n "$once" ]; then
    exit "$status"
fi
echo
echo "The underwriter's console, with the referrals above:"
echo
echo "  http://$SERVICE_ADDRESS/console"
if [ -f data/console-password ]; then
    echo "  name admin, password $(cat data/console-password) until you change it at the first log-in"
else
    echo "  name admin, with the password that you have chosen"
fi
echo
echo "Serving on http://$SERVICE_ADDRESS, data in ./data, log in $log. Ctrl-C stops it; nothing is forgotten."
trap 'echo; echo "Stopping ..."; exit 0' INT TERM HUP
wait "$SERVICE_PID"
