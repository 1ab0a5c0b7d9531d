#!/bin/bash
# Runs each fuzz target of fuzz/ for so many seconds, where a nightly compiler and cargo-fuzz are present.
set -euo pipefail
cd "$(dirname "$0")/.."

secs=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "make fuzz needs a nightly compiler: rustup toolchain install nightly. The corpus runs in make test without it." >&2
    exit 1
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked. The corpus runs in make test without it." >&2
    exit 1
fi
for target in quote csv rule condition book ruling delta; do
    echo "== $target"
    mkdir -p "fuzz/target/corpus/$target"
    # What is found goes to the first folder; the committed one is only read.
    cargo +nightly fuzz run "$target" "fuzz/target/corpus/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$secs" -timeout=10 -rss_limit_mb=2048
done
