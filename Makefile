# What it needs it installs itself, into .taskyard/ and cargo's own folders: cargo and python3 are enough. Images need
# docker, and kind-… needs kind.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
TOOLS := .taskyard/tools
FUZZ := .taskyard/fuzz
CHART_TOOLS := .taskyard/chart-tools
ZIG := .taskyard/zig
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
# The points at which tests kill and freeze processes.
FEATURES := taskyard-tests/fault-points,taskyard-tasks/fault-points
ALL_FEATURES := $(FEATURES),taskyard-tests/cluster,taskyard-tests/compose
# What could not be checked, for the last line.
NOT_CHECKED := $(TARGET_DIR)/not-checked
# Only the private servers: a small program, so that it builds even where a query is not known yet.
DEVSTACK := $(TARGET_DIR)/debug/taskyard-devstack --dir .taskyard/test --install-dir .taskyard/servers

# How images are built, named and compiled; `IMAGE_BINARY=compile` builds the binary inside Docker. With PROFILE=release
# it is built in a third of the time, and a little larger.
DOCKER ?= docker
KIND ?= kind
VERSION := $(shell sed -n '/^\[workspace.package\]/,/^version/s/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE ?= taskyard:$(VERSION)
TEST_IMAGE ?= taskyard:test
IMAGE_BINARY ?= ready
PROFILE ?= dist
ARCH ?= $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(shell uname -m)))
TARGET_amd64 := x86_64-unknown-linux-musl
TARGET_arm64 := aarch64-unknown-linux-musl
TARGET = $(or $(TARGET_$(ARCH)),$(error ARCH is amd64 or arm64))
IMAGE_FILES = .taskyard/image/$(ARCH)

.PHONY: help up test lint build-tests run-tests fuzz fuzz-briefly fuzz-tools openapi sqlx sqlx-check devstack bench demo clean tools chart-tools \
	chart-test golden image image-files image-binary cluster-image cluster-test cluster-test-build compose-test \
	kind-up kind-load kind-load-test kind-test kind-down

help: ## Show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

up: ## Run the whole system on http://localhost:8080
	cargo run --release --package taskyard -- up $(ARGS)

test: tools sqlx-check build-tests lint chart-test run-tests fuzz-briefly ## Check everything: formatting, lints, contracts, licences, all tests
	@echo "make test: all checks and tests passed$$(cat $(NOT_CHECKED) 2>/dev/null || true)"

bench: ## Measure it, against a baseline in the same run (half an hour)
	cargo run --release --package taskyard -- bench $(ARGS)

demo: ## Count the lines and unsafe blocks of every crate that this workspace depends on
	cargo build --release --package taskyard
	python3 demo/demo.py --taskyard $(TARGET_DIR)/release/taskyard

build-tests:
	cargo build --workspace --lib --bins --tests --features $(FEATURES)

# Without what a run that was interrupted left behind: NATS counts what its streams may hold one day.
run-tests:
	$(DEVSTACK) --fresh -- cargo nextest run --workspace --features $(FEATURES)
	cargo test --quiet --workspace --doc --features $(FEATURES)

# What the description promises, for a minute.
fuzz-briefly: fuzz-tools
	tools/fuzz $(FUZZ) $(TARGET_DIR)/debug/taskyard .taskyard/servers --seconds 60

fuzz: build-tests fuzz-tools ## Check the REST API against its description with 100,000 generated cases (CASES=…; an hour)
	tools/fuzz $(FUZZ) $(TARGET_DIR)/debug/taskyard .taskyard/servers --cases $(or $(CASES),100000)

fuzz-tools:
	@tools/install $(FUZZ) tools/fuzz.txt

openapi: ## Write docs/openapi.json anew, after a route or its types have changed
	cargo run --quiet --package taskyard -- openapi >docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

lint: tools ## Formatting, lints, documentation, contracts, licences
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features $(ALL_FEATURES) -- -D warnings
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

chart-test: chart-tools ## Render, lint and validate the charts under Helm 3 and 4, without a cluster
	@charts/check $(CHART_TOOLS)

golden: chart-tools ## Write anew what the charts render to, and the tables of their values
	@charts/check $(CHART_TOOLS) --write

image: $(if $(filter ready,$(IMAGE_BINARY)),image-files) ## Build the image (IMAGE=taskyard:0.1.0, ARCH=amd64 or arm64)
	DOCKER_BUILDKIT=1 $(DOCKER) build --platform linux/$(ARCH) --tag $(IMAGE) --build-arg BINARY=$(IMAGE_BINARY) $(IMAGE_STAGE:%=--target %) \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || true) .

# What is in the image.
image-files: image-binary
	@mkdir -p $(IMAGE_FILES)/etc/ssl/certs $(IMAGE_FILES)/licences
	@cp $(ZIG)/certifi/cacert.pem $(IMAGE_FILES)/etc/ssl/certs/ca-certificates.crt
	@cp LICENSE $(IMAGE_FILES)/licences/taskyard.txt
	@tools/licences $(TARGET) >$(IMAGE_FILES)/licences/crates.txt

# The static binary alone, which is all that changes from build to build.
image-binary:
	@tools/install $(ZIG) tools/image.txt
	@if command -v rustup >/dev/null; then rustup --quiet target add $(TARGET); fi
	PATH="$(CURDIR)/$(ZIG)/bin:$$PATH" PYTHONPATH="$(CURDIR)/$(ZIG)" \
		$(if $(filter dev,$(PROFILE)),CARGO_PROFILE_DEV_DEBUG=0) cargo zigbuild --locked --profile $(PROFILE) --target $(TARGET) --package taskyard $(IMAGE_FEATURES)
	@mkdir -p $(IMAGE_FILES)
	@cp $(TARGET_DIR)/$(TARGET)/$(subst dev,debug,$(PROFILE))/taskyard $(IMAGE_FILES)/taskyard

# With the points at which tests kill processes, and quick to build. Under two names: for upgrades.
cluster-image: ## Build the image for cluster-test (TEST_IMAGE=taskyard:test)
	$(MAKE) image PROFILE=dev IMAGE_FEATURES='--features fault-points' IMAGE=$(TEST_IMAGE)
	$(DOCKER) tag $(TEST_IMAGE) $(TEST_IMAGE)-next

cluster-test-build: tools chart-tools
	cargo build --workspace --lib --bins --tests --features $(ALL_FEATURES)

cluster-test: cluster-test-build ## Test on the cluster of KUBECONFIG, with the image of cluster-image
	TASKYARD_IMAGE=$(TEST_IMAGE) \
		cargo nextest run --package taskyard-tests --features $(ALL_FEATURES) --test cluster --test-threads 2 $(ARGS)

compose-test: cluster-test-build ## Run docker-compose.yml with the image of cluster-image
	TASKYARD_IMAGE=$(TEST_IMAGE) DOCKER="$(DOCKER)" \
		cargo nextest run --package taskyard-tests --features $(ALL_FEATURES) --test compose

kind-up: ## Make a cluster with kind
	$(KIND) create cluster --config k8s/kind.yaml

kind-load: image ## Build the image and load it into the cluster
	$(KIND) load docker-image $(IMAGE) --name taskyard

kind-load-test: cluster-image
	$(KIND) load docker-image $(TEST_IMAGE) $(TEST_IMAGE)-next --name taskyard

kind-test: kind-load-test ## Run the cluster tests there
	@mkdir -p .taskyard && $(KIND) get kubeconfig --name taskyard >.taskyard/kind.conf
	KUBECONFIG=$(CURDIR)/.taskyard/kind.conf TASKYARD_CLUSTER_URL=http://localhost:8080 $(MAKE) cluster-test

kind-down: ## Remove that cluster
	$(KIND) delete cluster --name taskyard

devstack:
	cargo build --package taskyard-devstack

tools:
	@tools/install $(TOOLS)

chart-tools: tools
	@tools/install-charts $(CHART_TOOLS) $(TOOLS)

clean: ## Remove what was built and all local data
	cargo clean
	rm -rf .taskyard
