#!/usr/bin/env bash
# Throws generated requests, valid and broken ones, at a running service and holds every answer to /openapi.json.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
. scripts/python.sh
. scripts/service.sh

VERSION=4.32.5
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
folder=$(mktemp -d)
trap 'stop_service || true; rm -rf "$folder"' EXIT

schemathesis=$(python_tool schemathesis "$VERSION")
. scripts/debug_binaries.sh
if ! start_service "$target/debug/quoteguard" 127.0.0.1:0 "$folder/quoteguard.db" "$folder/log"; then
    cat "$folder/log" >&2
    exit 1
fi
(cd "$folder" && PYTHONPATH="$root/tests/schemathesis" SCHEMATHESIS_HOOKS=generation "$schemathesis" \
    --config-file "$root/tests/schemathesis/schemathesis.toml" run "http://$SERVICE_ADDRESS/openapi.json" \
    --seed 20261124 --max-examples "${EXAMPLES:-30}" --phases examples,coverage,fuzzing,stateful \
    --continue-on-failure --no-color "$@")
