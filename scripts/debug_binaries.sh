# shellcheck shell=bash
# Sourced: builds the binaries with the features and the optimisation that `make test` gives them, so that nothing is built twice.
export CARGO_PROFILE_DEV_OPT_LEVEL=${CARGO_PROFILE_TEST_OPT_LEVEL:-1}
cargo build --quiet --workspace --locked --features loadtest/kafka,parquet --bins
