#!/usr/bin/env bash
# The browser suite against a service built here: `scripts/browser.sh [--screens DIR]`.
set -euo pipefail
cd "$(dirname "$0")/.."
binaries=${CARGO_TARGET_DIR:-target}/debug
. scripts/debug_binaries.sh
scripts/setup.sh browser
CHROMIUM=${CHROMIUM:-$(command -v chromium)} exec node tests/browser/run.mjs "$binaries/quoteguard" "$binaries/loadtest" "$@"
