# The words that README and CI use. Everything they need beside a Rust toolchain, make and a C linker they get themselves.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate
export CARGO_TARGET_DIR ?= $(CACHE)/target
TOOLS := $(CACHE)/tools
DENY_VERSION := 0.20.2
MACHETE_VERSION := 0.9.2
WEBSOCKETS_VERSION := 15.0.1
GRPCIO_VERSION := 1.85.1
DENY := $(TOOLS)/bin/cargo-deny
MACHETE := $(TOOLS)/bin/cargo-machete
H2SPEC := $(TOOLS)/bin/h2spec
PEERS := $(CACHE)/python-websockets-$(WEBSOCKETS_VERSION)-grpcio-$(GRPCIO_VERSION)
PYTHON := $(PEERS)/bin/python
QUICK := $(CARGO_TARGET_DIR)/quick/tidegate
# Cases that were left out, one on each line.
SKIPS := $(CACHE)/skipped
CARGO := cargo
SECONDS ?= 20
# What bench-compare measures: `release`, or `build` where the tools for a profile are not to be had.
BENCHED ?= release
IMAGE ?= tidegate:dev
IMAGE_PROFILE ?= release

.PHONY: help demo compose-demo python h2spec browser engine test fuzz check bench bench-compare tails bench-instructions rollout compare build release image quick packages tools fmt-check clippy docs dependencies deny machete

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: quick ## Watch the main job at work for SECONDS (20), then a verdict
	@$(QUICK) demo --seconds $(SECONDS)

test: packages python h2spec browser engine quick ## Run all tests, end to end ones over the real binary included, and the demo stack; then fuzz each parser for a minute
	@rm -f $(SKIPS)
	TIDEGATE_BIN=$(QUICK) TIDEGATE_PYTHON=$(PYTHON) TIDEGATE_H2SPEC=$(H2SPEC) TIDEGATE_SKIPS=$(SKIPS) tests/with-engine.sh $(CARGO) test --locked --workspace --profile quick
	@if [ "$$(id -u)" = 0 ] && command -v dockerd >/dev/null; then \
	  $(MAKE) --no-print-directory compose-demo IMAGE_PROFILE=quick IMAGE=tidegate:dev; \
	else \
	  echo "compose-demo: only root may start an engine, and it must be there" >>$(SKIPS); \
	fi
	@$(MAKE) --no-print-directory fuzz
	@if [ -s $(SKIPS) ]; then printf '\n*** %s cases were SKIPPED for want of an engine: ***\n' "$$(wc -l <$(SKIPS))" >&2; cat $(SKIPS) >&2; fi

compose-demo: ## Run the demo stack of docker-compose.yml, check it from outside and inside while replicas are killed and scaled, take it down
	@$(MAKE) --no-print-directory packages PACKAGES="docker.io docker-compose debootstrap"
	@tests/with-engine.sh examples/stack/demo.sh $(IMAGE_PROFILE)

fuzz: ## Fuzz each parser for FUZZ_SECONDS (60) with libFuzzer, one on each processor; TARGETS="hosts bodies" names some of them
	@tests/fuzz/run.sh $(CACHE)/fuzz $(or $(FUZZ_SECONDS),60) $(TARGETS)

check: fmt-check clippy docs dependencies deny machete ## Formatting, lints, docs and dependencies, as CI wants them

bench: ## Run the micro benchmarks (benches/README.md says what they measure)
	$(CARGO) bench --locked --no-fail-fast -p tidegate-benches

bench-compare: $(BENCHED) ## Compare with nginx, HAProxy, Envoy and Caddy; ARGS="--only l4-rr --rounds 9" (benches/README.md)
	@benches/compare/setup.sh $(CACHE)/compare
	@TIDEGATE=$(CARGO_TARGET_DIR)/$(if $(filter release,$(BENCHED)),profiled,release)/tidegate ENVOY=$(CACHE)/compare/venv/bin/envoy ECHO=$(CACHE)/compare/echo \
	  python3 -B benches/compare/compare.py $(ARGS)

compare: bench-compare

tails: $(BENCHED) ## Latency at the far end at a constant rate, quiet and while endpoints and routes change; ARGS="--rounds 3" (benches/README.md)
	@benches/compare/setup.sh $(CACHE)/compare
	@mkdir -p $(CACHE)/tails && $(CC) -O2 -o $(CACHE)/tails/pace benches/tails/pace.c
	@TIDEGATE=$(CARGO_TARGET_DIR)/$(if $(filter release,$(BENCHED)),profiled,release)/tidegate PACE=$(CACHE)/tails/pace python3 -B benches/tails/tails.py $(ARGS)

rollout: quick ## Roll pods over under load 100 times, beside nginx, HAProxy and Envoy, and count every request; ARGS="--contenders tidegate --replicas 1" (docs/rollout.md)
	@$(CARGO) build --locked --quiet --workspace --profile quick --bin rollout
	@benches/compare/setup.sh $(CACHE)/compare nginx libnginx-mod-stream haproxy python3-venv
	@TIDEGATE_BIN=$(QUICK) ENVOY=$(CACHE)/compare/venv/bin/envoy $(CARGO_TARGET_DIR)/quick/rollout $(ARGS)

bench-instructions: build ## Count instructions for each request with valgrind; ARGS="--top 40 get" says whose (benches/README.md)
	@$(MAKE) --no-print-directory packages PACKAGES="valgrind openssl"
	@TIDEGATE=$(CARGO_TARGET_DIR)/release/tidegate python3 -B benches/instructions/instructions.py --baseline benches/instructions.json $(ARGS)

build: ## Build the release binary, optimised
	$(CARGO) build --locked --release -p tidegate
	@echo "built $(CARGO_TARGET_DIR)/release/tidegate"

release: ## Build the release binary by a profile of its own traffic: faster, and takes four times as long (docs/performance.md)
	@benches/profile/build.sh $(CARGO_TARGET_DIR)/profiled

image: ## Build the container image IMAGE (tidegate:dev), of a static release binary; needs a container engine, and no network (docs/image.md)
	@deploy/image/build.sh $(IMAGE_PROFILE) $(IMAGE) $(CACHE)/image

quick:
	@$(CARGO) build --locked --quiet --profile quick -p tidegate

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

# Each direct dependency earns its place in a line of docs/dependencies.md, and no line outlives its dependency.
dependencies:
	@direct=$$(awk '/^\[/ { on = ($$0 == "[workspace.dependencies]") } on && /^[a-z]/ && !/path =/ { print $$1 }' Cargo.toml | sort); \
	said=$$(sed -nE 's/^\| `([^`]+)` .*/\1/p' docs/dependencies.md | sort); \
	if [ "$$direct" != "$$said" ]; then \
	  echo "docs/dependencies.md and [workspace.dependencies] differ (< only in Cargo.toml, > only in the page):" >&2; \
	  printf '%s\n' "$$direct" > "$(CACHE)/direct"; printf '%s\n' "$$said" | diff "$(CACHE)/direct" - >&2; exit 1; \
	fi

deny: $(DENY)
	$(DENY) --locked check bans licenses sources
	@if timeout 120 $(DENY) fetch db >/dev/null 2>&1; then \
	  $(DENY) --locked check --disable-fetch advisories; \
	else \
	  printf '\n*** SKIPPED: advisories. The advisory database cannot be reached; known holes were NOT looked for. ***\n\n' >&2; \
	fi

machete: $(MACHETE)
	$(MACHETE) --skip-target-dir .

tools: $(DENY) $(MACHETE)

$(DENY):
	CARGO_TARGET_DIR=$(CACHE)/tools-target $(CARGO) install --locked --quiet --debug --root $(TOOLS) cargo-deny@$(DENY_VERSION)

$(MACHETE):
	CARGO_TARGET_DIR=$(CACHE)/tools-target $(CARGO) install --locked --quiet --debug --root $(TOOLS) cargo-machete@$(MACHETE_VERSION)

# Clients and servers that are not ours, for the end-to-end tests. Made whole or not at all.
python: packages
	@$(MAKE) --no-print-directory $(PYTHON)

$(PYTHON):
	@rm -rf $(PEERS)
	@python3 -m venv $(PEERS) && $(PEERS)/bin/pip install --quiet --disable-pip-version-check websockets==$(WEBSOCKETS_VERSION) grpcio==$(GRPCIO_VERSION) \
	  || { rm -rf $(PEERS); echo "python3 with venv and PyPI are needed for the tests' peers of WebSocket and gRPC" >&2; exit 1; }

# A container engine of the tests' own, where it can be had: without it its cases are skipped, each with a line that says so, and counted.
engine: packages
	@$(MAKE) --no-print-directory packages PACKAGES="docker.io docker-compose busybox-static debootstrap" || printf '\n*** No container engine: its cases will be SKIPPED. ***\n\n' >&2

# A browser and what tells it whom to trust, where they can be had: without them their cases are skipped, each with a line that says so.
browser: packages
	@$(MAKE) --no-print-directory packages PACKAGES="chromium libnss3-tools" || printf '\n*** No browser: its cases will be SKIPPED. ***\n\n' >&2

# What RFC 9113 wants of a server, by its Go module; go.mod says from what it is built.
h2spec: packages
	@$(MAKE) --no-print-directory $(H2SPEC)

$(H2SPEC): tests/http2/h2spec/go.mod
	@cd $(<D) && go build -o $(H2SPEC) github.com/summerwind/h2spec/cmd/h2spec && touch $(H2SPEC)

# What the end-to-end tests call; bench-instructions asks for its own. Without root the list is said, and whoever has root installs it.
PACKAGES := g++ curl haproxy openssl python3-venv nghttp2-client golang-go socat bind9-dnsutils iproute2 util-linux
packages:
	@missing=""; for word in $(PACKAGES); do \
	  case $$word in \
	    python3-venv) python3 -m ensurepip --version;; \
	    nghttp2-client) command -v nghttp && command -v h2load;; \
	    golang-go) command -v go;; \
	    bind9-dnsutils) command -v dig;; \
	    iproute2) command -v ip;; \
	    util-linux) command -v unshare;; \
	    g++) command -v "$${CXX:-c++}";; \
	    libnss3-tools) command -v certutil;; \
	    docker.io) command -v dockerd && command -v docker;; \
	    docker-compose) docker compose version || command -v docker-compose;; \
	    busybox-static) command -v busybox;; \
	    *) command -v $$word;; \
	  esac >/dev/null 2>&1 || missing="$$missing $$word"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	  else \
	    echo "install first:$$missing" >&2; exit 1; \
	  fi; \
	fi
