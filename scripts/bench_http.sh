#!/usr/bin/env bash
# What slow clients and idle connections cost those who ask in the ordinary way: `make bench-http`. Exit code 1 above the target.
#
# Alone and beside the crowd in turns, within one run of one service. First with a header timeout that lets all 10,000 stand for the whole
# turn, then with the default of 10 s, by which the service closes idle ones and they come again. QUICK=1 has short turns.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/service.sh

secs=20 rounds=3
if [ -n "${QUICK:-}" ]; then secs=5 rounds=2; fi

# Each connection is an open file at both ends; the service raises its own limit.
ulimit -n "$(ulimit -Hn)"
cargo build --release --locked --workspace
binaries=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
trap 'stop_service || true; rm -rf "$work"' EXIT
"$binaries/loadtest" generate --seed 9 --quotes 100000 --mix normal --days 29 --out "$work/quotes.jsonl" --truth "$work/truth.jsonl" >/dev/null 2>&1

printf '%s, %s cores, %s\n' "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
status=0
for header_timeout_ms in 300000 10000; do
  printf '\n== header timeout %s s\n' $((header_timeout_ms / 1000))
  QUOTEGUARD__HTTP__HEADER_TIMEOUT_MS=$header_timeout_ms start_service "$binaries/quoteguard" 127.0.0.1:0 "$work/$header_timeout_ms.db" "$work/service.log"
  "$binaries/loadtest" slow --url "http://$SERVICE_ADDRESS/v1/quotes/check" --in "$work/quotes.jsonl" --rate 500 --secs "$secs" --rounds "$rounds" || status=1
  stop_service
done
exit "$status"
