# Everything that is done to this repository has a target here; CI calls `make ci` and nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo

# Finds or builds a server, once, and gives it to what follows.
WITH_REDIS = folder="$$(scripts/redis.sh)" && export SLOTWISE_REDIS_SERVER="$$folder/redis-server" &&
# The same, but only one that speaks TLS will do.
WITH_TLS_REDIS = folder="$$(scripts/redis.sh --tls)" && export SLOTWISE_REDIS_SERVER="$$folder/redis-server" &&
# Finds or fetches prometheus and promtool, once.
WITH_PROMETHEUS = SLOTWISE_PROMETHEUS="$$(scripts/prometheus.sh)" && export SLOTWISE_PROMETHEUS &&

.PHONY: help demo test chaos bench bench-report fuzz lint ci redis build check-old-server check-arrow check-openapi check-cpu check-rules check-features

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 20

ARGS ?= --seed-users 2000

demo: ## Start a real local cluster with features in it, and serve them (ARGS="--port 8090 --shards 3 …")
	@$(WITH_REDIS) unset SLOTWISE_REDIS_URL && exec $(CARGO) run --release --quiet -- demo $(ARGS)

test: ## Run every test, on real servers
	@$(WITH_TLS_REDIS) $(WITH_PROMETHEUS) $(CARGO) test

chaos: ## Break a local cluster in every way that is promised to be survived, and print the table of docs/RELIABILITY.md
	@$(WITH_REDIS) scripts/chaos.sh $(SCENARIO)

bench: ## Run every benchmark (SLOTWISE_REDIS_URL: against that cluster)
	@$(WITH_REDIS) $(CARGO) bench

fuzz: ## Feed the reply scanner with what no server sends, for FUZZ_SECONDS=60
	@scripts/fuzz.sh

bench-report: ## Run the benches of docs/BENCHMARKS.md one after the other, into benches/results (BENCHES="http_cpu …")
	@$(WITH_REDIS) scripts/bench-report.sh $(BENCHES)

lint: ## Formatting, lints, documentation, shell scripts, licences and sources of dependencies, rules and alerts
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --features otlp -- -D warnings
	$(CARGO) clippy --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet
	@for script in scripts/*.sh .ci/run; do bash -n "$$script"; done
	@scripts/deny.sh
	@scripts/check-rules.sh

ci: lint test check-old-server check-arrow check-openapi check-cpu check-features ## What CI runs

redis: ## Find or build a suitable server, with TLS; the last line is its folder
	@scripts/redis.sh --tls

build: ## Build the program
	$(CARGO) build --release

check-old-server: ## A server that is too old is refused by name (needs one: SLOTWISE_OLD_REDIS_SERVER, or Debian 12's redis-server)
	@$(CARGO) build --quiet && scripts/check-old-server.sh "$${CARGO_TARGET_DIR:-target}/debug/slotwise"

check-arrow: ## What pyarrow reads back is what was written (needs python3 with venv and pip)
	@$(CARGO) build --quiet && $(WITH_REDIS) scripts/check-arrow.sh "$${CARGO_TARGET_DIR:-target}/debug/slotwise"

check-openapi: ## The API does what /openapi.json says, tried by schemathesis (needs python3 with venv and pip)
	@$(CARGO) build --quiet && $(WITH_REDIS) scripts/check-openapi.sh "$${CARGO_TARGET_DIR:-target}/debug/slotwise"

check-rules: ## promtool on the recording rules and alerts, and on their tests
	@scripts/check-rules.sh

check-features: ## What is off by default: traces and native histograms (needs protoc with its includes)
	@$(WITH_REDIS) $(WITH_PROMETHEUS) $(CARGO) test --all-features --test otlp --test native_histograms

check-cpu: ## CPU per entity of batches, of single reads, of the server and of metrics, and their rates, within their limits
	@$(WITH_REDIS) for bench in cpu_per_entity http_cpu single_reads metrics_cpu; do $(CARGO) bench --quiet --bench $$bench -- --check; done
