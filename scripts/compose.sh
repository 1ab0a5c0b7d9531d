#!/usr/bin/env bash
# Holds docker-compose.yml to the Compose specification: by Docker's own client where there is one, else by its schema.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/python.sh

if docker compose version >/dev/null 2>&1; then
    docker compose config --quiet
else
    "$(python_tool check-jsonschema 0.39.0)" --builtin-schema vendor.compose-spec docker-compose.yml
fi
