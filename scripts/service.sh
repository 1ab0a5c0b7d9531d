# shellcheck shell=bash
# Sourced: start a service, know its address, stop it by its process id.

# start_service BINARY LISTEN DATABASE LOGFILE -> SERVICE_PID, SERVICE_ADDRESS; waits until it takes quotes.
start_service() {
    # A process group of its own: Ctrl-C reaches the script, which then asks the service to stop, once.
    set -m
    QUOTEGUARD__LOG__FORMAT=json "$1" serve --listen "$2" --data "$3" 2>"$4" &
    SERVICE_PID=$!
    set +m
    SERVICE_ADDRESS=
    for _ in $(seq 1200); do
        if ! kill -0 "$SERVICE_PID" 2>/dev/null; then
            SERVICE_PID=
            return 1
        fi
        SERVICE_ADDRESS=$(sed -n 's/.*"message":"listening".*"address":"\([^"]*\)".*/\1/p' "$4" | head -n1)
        if [ -n "$SERVICE_ADDRESS" ] && grep -q '"the rule book is in force"' "$4"; then
            return 0
        fi
        sleep 0.1
    done
    echo "The service did not become ready within two minutes; its log is $4." >&2
    return 1
}

# Asks the service to stop and waits for it; the status is the service's.
stop_service() {
    if [ -n "${SERVICE_PID:-}" ]; then
        kill -TERM "$SERVICE_PID" 2>/dev/null || true
        wait "$SERVICE_PID"
        SERVICE_PID=
    fi
}
