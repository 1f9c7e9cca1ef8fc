# What it needs it installs itself, into .taskyard/ and cargo's own folders: cargo and python3 are enough.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
TOOLS := .taskyard/tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
# The points at which tests kill and freeze processes.
FEATURES := taskyard-tests/fault-points,taskyard-tasks/fault-points
# What could not be checked, for the last line.
NOT_CHECKED := $(TARGET_DIR)/not-checked
# Only the private servers: a small program, so that it builds even where a query is not known yet.
DEVSTACK := $(TARGET_DIR)/debug/taskyard-devstack --dir .taskyard/test --install-dir .taskyard/servers

.PHONY: help up test lint build-tests run-tests sqlx sqlx-check devstack bench demo clean tools

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

up: ## Run the whole system on http://localhost:8080
	cargo run --release --package taskyard -- up $(ARGS)

test: tools build-tests lint sqlx-check run-tests ## Check everything: formatting, lints, contracts, licences, all tests
	@echo "make test: all checks and tests passed$$(cat $(NOT_CHECKED) 2>/dev/null || true)"

bench: ## Measure it, against a baseline in the same run (half an hour)
	cargo run --release --package taskyard -- bench $(ARGS)

demo: ## Count the lines and unsafe blocks of every crate that this workspace depends on
	cargo build --release --package taskyard
	python3 demo/demo.py --taskyard $(TARGET_DIR)/release/taskyard

build-tests:
	cargo build --workspace --lib --bins --tests --features $(FEATURES)

run-tests:
	$(DEVSTACK) -- cargo nextest run --workspace --features $(FEATURES)
	cargo test --quiet --workspace --doc --features $(FEATURES)

lint: tools ## Formatting, lints, documentation, contracts, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features $(FEATURES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	buf lint proto
	cargo deny --log-level error check bans licenses sources
	@if cargo deny --log-level off fetch db; then cargo deny --log-level error check advisories; rm -f $(NOT_CHECKED); \
	else echo "; NOT CHECKED: advisories, whose database cannot be fetched here" | tee $(NOT_CHECKED); fi

sqlx: devstack ## Write .sqlx anew, after a query or a migration has changed
	rm -rf .sqlx && mkdir .sqlx
	$(DEVSTACK) -- tools/queries .sqlx .taskyard/servers cargo check --quiet --package taskyard-tasks

sqlx-check: devstack
	@new=$$(mktemp -d); trap "rm -rf $$new" EXIT; \
	$(DEVSTACK) -- tools/queries $$new .taskyard/servers cargo check --quiet --package taskyard-tasks; \
	diff -rq .sqlx $$new || { echo "make: .sqlx is not what the queries give; run 'make sqlx' and commit it" >&2; exit 1; }

devstack:
	cargo build --package taskyard-devstack

tools:
	@tools/install $(TOOLS)

clean: ## Remove what was built and all local data
	cargo clean
	rm -rf .taskyard
