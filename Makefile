# The only list of commands. `make` shows it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)

# For `make run`: flags of scripts/run.sh, such as --once or --port 9000; for `make stack` those of scripts/stack.sh.
ARGS ?=

# For `make test-faults`: what the faults are varied by.
FAULT_SEEDS ?= 1 2 3 4 5

FUZZ_SECS ?= 60

# One build for all that `make lint test` runs, and scripts/debug_binaries.sh with it: other features would build everything once more.
BUILD := --workspace --locked --features loadtest/kafka,parquet

.PHONY: dist fuzz help setup run stack test test-embedded test-faults test-volume services services-stop bench bench-http bench-kafka soak overload drills capacity lint fmt audit

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

setup: ## Install what a bare Debian machine lacks for all commands below
	@scripts/setup.sh compiler librdkafka python kafka redis postgres prometheus kcat deny shellcheck browser curl

run: ## Build, start the service, show a planted tweaker being referred, serve until Ctrl-C (ARGS=--once: end after the demo)
	@scripts/setup.sh compiler
	@scripts/run.sh $(ARGS)

stack: ## The whole system without containers: Kafka, Redis, PostgreSQL, two instances, Prometheus, Alertmanager; until Ctrl-C (ARGS=--once: end when it is up)
	@scripts/setup.sh compiler librdkafka kafka redis postgres prometheus curl
	@scripts/stack.sh $(ARGS)

test: ## Every test, with a real Kafka, Redis, PostgreSQL and Prometheus started for it, then schemathesis and a browser against a running service
	@scripts/setup.sh compiler librdkafka python kafka redis postgres prometheus browser
	scripts/services.sh run --secure -- cargo test $(BUILD)
	scripts/schemathesis.sh
	scripts/browser.sh

test-embedded: ## The tests of the build without Kafka and Redis: no server, no Java, no C++
	@scripts/setup.sh compiler
	cargo test --workspace --locked --no-default-features

test-faults: ## Every fault of the service, Kafka, Redis, PostgreSQL, links and clocks, with five seeds, and a table of them (about 30 minutes)
	@scripts/setup.sh compiler librdkafka kafka redis postgres
	@mkdir -p target && printf '%-58s %-10s %7s %10s %7s %5s %s\n' fault seeds fired decisions copies secs result > target/faults.txt
	FAULT_TABLE=$(CURDIR)/target/faults.txt FAULT_SEEDS="$(FAULT_SEEDS)" scripts/services.sh run --secure -- \
		cargo test --locked --test it -- faults:: --skip redis_faults:: --include-ignored --test-threads 1 || failed=$$?; \
	cat target/faults.txt; exit $${failed:-0}

dist: ## The release: one stripped binary that needs only glibc, archived with man pages, completions, SBOM and checksums in target/dist
	@scripts/setup.sh compiler librdkafka python
	@scripts/dist.sh

fuzz: ## Search on from the fuzz corpus with libFuzzer, FUZZ_SECS for each target; needs a nightly compiler and cargo-fuzz
	@scripts/fuzz.sh $(FUZZ_SECS)

services: ## Start a real Kafka, Redis and PostgreSQL on free ports, for `. target/services/env` and cargo test, or to try things
	@scripts/setup.sh kafka redis postgres
	@scripts/services.sh start --secure

services-stop: ## Stop them
	@scripts/services.sh stop

test-volume: ## The floods at full size, in a release build: 100,000 near-identical quotes, a million keys, memory asserted; 1,000 rule books under load; a desk of a million decisions
	@scripts/setup.sh compiler librdkafka postgres
	scripts/services.sh run --only postgres -- cargo test --release --locked --test it -- --ignored --nocapture --test-threads 1 volume::

bench: ## Every target with its floor: detection, replay, backtest, engine, HTTP, restart (about 20 minutes; QUICK=1 for a look)
	@scripts/setup.sh compiler librdkafka curl python
	cargo bench --locked --bench decode --bench rules
	scripts/bench.sh

bench-http: ## Ordinary checks alone and beside 300 slow clients and 10,000 idle connections: p99 at most twice as long (about 3 minutes; QUICK=1)
	@scripts/setup.sh compiler librdkafka curl
	scripts/bench_http.sh

bench-kafka: ## The targets over a real Kafka and Redis: catch-up, latency, checkpoints, restart, takeover (about 20 minutes; QUICK=1)
	@scripts/setup.sh compiler librdkafka kafka redis
	scripts/bench_kafka.sh

soak: ## 60 % of the peak for 30 minutes, then up to the cap on live attempts: memory, errors, latency, a page (SOAK_SECS, OVER=kafka, MIX=...)
	@scripts/setup.sh compiler librdkafka kafka redis curl python
	scripts/load.sh soak

overload: ## Five times the peak for a minute: goodput, refusals, nothing lost, a page (OVER=kafka, MIX=...)
	@scripts/setup.sh compiler librdkafka kafka redis curl python
	scripts/load.sh overload

drills: ## docs/operations.md at full size, in a release build: a rolling restart at 1,000 a second, a million quotes restored (DRILL_QUOTES)
	@scripts/setup.sh compiler librdkafka kafka redis postgres curl
	QUOTEGUARD_KAFKA_JVM="-Xms512m -Xmx1g" scripts/services.sh run --only kafka,redis -- \
		cargo test --release --locked --test it -- --ignored --nocapture --test-threads 1 drills::

capacity: ## What a quote costs in processor, memory, Redis, Kafka and PostgreSQL: the table of docs/capacity.md
	@scripts/setup.sh compiler librdkafka kafka redis postgres curl
	scripts/capacity.sh

lint: ## Scripts, compose file, format, clippy, licences and bans, and the tidy test
	@scripts/setup.sh compiler librdkafka python deny shellcheck
	shellcheck -x .ci/run scripts/*.sh
	scripts/compose.sh
	cargo fmt --all --check
	cargo clippy $(BUILD) --all-targets -- -D warnings
	cargo deny --locked check bans licenses sources
	cargo test $(BUILD) --test it tidy::

fmt: ## Format the code
	cargo fmt --all

audit: ## Ask the RustSec database about the dependencies (needs the network)
	@scripts/setup.sh deny
	cargo deny --locked check advisories
