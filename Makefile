# What one can do here. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-up demo-down test test-unit test-units test-netns test-conformance test-interop test-old-kernel fuzz fuzz-smoke lint bench bench-dataplane bench-against bench-full bench-smoke bench-agent flame cost deny install clean

export PATH := $(HOME)/.cargo/bin:$(PATH)

# How nodes prefer to send packets to each other: mpls-over-gre or mpls-over-udp.
ENCAP ?= mpls-over-gre
DEMO := target/debug/arcus-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the packages that are missing (Debian, Ubuntu; as root)
	@scripts/setup.sh

build: setup ## build the daemons, the command line and the demo
	cargo build --workspace --bins

demo: build ## play two clouds and two gateways on this machine and prove it; ENCAP=mpls-over-udp
	@$(DEMO) run --encap $(ENCAP)

demo-up: build ## as demo, but leave it running to look around
	@$(DEMO) up --encap $(ENCAP)

demo-down: ## remove what demo-up left
	@if [ -x $(DEMO) ]; then $(DEMO) down; else echo "nothing was built, so nothing is up"; fi

test: setup test-unit test-units test-netns ## everything that is tested (the part in namespaces as root)

test-unit: ## the tests that need neither root nor namespaces
	cargo test --workspace --no-fail-fast

test-units: build ## the systemd units and the installation, without systemd running
	packaging/check-units.sh target/debug

test-netns: ## the tests that need root: data plane, gateways, the whole federation
	@[ "$$(id -u)" = 0 ] || { echo "make test-netns needs root: namespaces, eBPF"; exit 1; }
	cargo build --workspace --bins
	cargo test --workspace --no-fail-fast --tests --lib -- --ignored --skip everyone_elses_daemons --test-threads=1

# Of test-conformance: a part of the name of a test.
GROUP ?=

test-conformance: ## arcus-bgpd as a black box (docs/conformance.md); GROUP=reflection, CASE='words of a name'
	cargo build -p arcus-bgpd
	cargo test -p interop-tests --test conformance -- --nocapture $(GROUP)

test-interop: ## FRR, BIRD, GoBGP, OpenBGPD, ExaBGP against arcus-bgpd; ONLY=bird, KNOWN=1; UPDATE=1 writes docs/interop.md
	@[ "$$(id -u)" = 0 ] || { echo "make test-interop needs root: namespaces"; exit 1; }
	@scripts/setup.sh interop
	cargo build --workspace --bins
	cargo test -p interop-tests --test interop $(if $(ONLY),,--test features) -- --ignored --nocapture --test-threads=1

# Of test-old-kernel: names of tests of crates/dataplane-ebpf/tests/netns, with their modules.
TESTS ?=

test-old-kernel: ## the data plane on Linux 6.1 in an emulated machine; TESTS='restart::a_plane_is_open_once'
	@[ "$$(id -u)" = 0 ] || { echo "make test-old-kernel needs root: namespaces, eBPF"; exit 1; }
	@scripts/setup.sh old-kernel
	scripts/test-old-kernel.sh $(TESTS)

# How long each target runs, and which ones.
FUZZ_SECONDS ?= 60
FUZZ ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

fuzz: ## fuzz every decoder and whole sessions, with a nightly compiler; FUZZ_SECONDS=60 FUZZ=nlri_evpn
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@for target in $(FUZZ); do \
	  mkdir -p fuzz/target/found/$$target; \
	  cargo +nightly fuzz run --fuzz-dir fuzz $$target fuzz/target/found/$$target fuzz/corpus/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024; \
	done

# RUSTC_BOOTSTRAP lets a stable compiler instrument what it builds.
fuzz-smoke: ## a moment of the fuzz targets that reach most, with the compiler that is here
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@for target in message_decode update_round_trip session_lifetime text_parsers; do \
	  mkdir -p fuzz/target/found/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz $$target fuzz/target/found/$$target fuzz/corpus/$$target -- \
	    -runs=20000 -max_total_time=30 -timeout=10 -rss_limit_mb=1024; \
	done

lint: ## formatting, clippy, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

cost: setup ## what a route costs the tables, against the committed figures
	@scripts/rib-cost.sh

deny: ## licences, duplicate versions and registries of all dependencies
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check licenses bans sources

# Others to measure beside ours, from the distribution's packages: frr bird gobgp openbgpd.
RIVALS ?=
# For example: --full --runs 5 --only vpnv4-1m,churn
BENCH ?=
SMOKE := vpnv4-1m,unicast-1m,evpn-400k,all-at-once,late-joiner,sender-loss,churn,rtc-100x10,rtc-1000-clients,never-reads
comma := ,
empty :=
space := $(empty) $(empty)

bench: setup ## what a route costs, beside a floor; RIVALS="frr bird gobgp openbgpd" BENCH=--full
	@scripts/rivals.sh $(RIVALS)
	cargo build --release -p arcus-bgpd -p arcus-bench
	target/release/arcus-bench run --json target/bench.json \
	  $(if $(strip $(RIVALS)),--rivals $(subst $(space),$(comma),$(strip $(RIVALS)))) $(BENCH)
	target/release/arcus-bench report target/bench.json --svg target/bench.svg
	$(MAKE) bench-dataplane

# For example: --rounds 3 --only vxlan,filter; --page docs/forwarding.md writes its tables anew.
DATAPLANE ?=

bench-dataplane: setup ## how fast packets are forwarded, beside plain routing (as root); DATAPLANE="--only vxlan"
	@[ "$$(id -u)" = 0 ] || { echo "make bench-dataplane needs root: namespaces, eBPF"; exit 1; }
	cargo build --release -p arcus-bench
	target/release/arcus-bench dataplane --routes 1000000 --json target/bench-dataplane.json $(DATAPLANE)

bench-full: ## measure docs/performance.md anew, at full size: ours three times, RIVALS once; wants a quiet machine
	$(MAKE) bench RIVALS="$(or $(strip $(RIVALS)),frr bird openbgpd)" BENCH="--full --runs 3 --rival-runs 1 $(BENCH)"
	target/release/arcus-bench report target/bench.json --page docs/performance.md --svg docs/performance.svg

# The commit to be compared with what is here, as in `make bench-against COMMIT=main BENCH=--full`.
COMMIT ?= main
bench-against: setup ## what is here beside another COMMIT of it, in turn: which is faster
	rm -rf target/before && git worktree prune && git worktree add --detach target/before $(COMMIT)
	cd target/before && cargo build --release --target-dir ../before-build -p arcus-bgpd
	git worktree remove --force target/before
	cargo build --release -p arcus-bgpd -p arcus-bench
	target/release/arcus-bench run --before target/before-build/release/arcus-bgpd --json target/bench-against.json $(BENCH)

# No times: exact counts, checked content, costs far beyond any aim, what an idle session takes, and ratios of
# forwarding to plain routing.
bench-smoke: setup ## the benchmarks, small and once: fail on wrong counts and content, and on gross cost
	cargo build --release -p arcus-bgpd -p arcus-bench
	target/release/arcus-bench run --runs 1 --scale 0.05 --within 3 --json target/bench-smoke.json --only $(SMOKE)
	target/release/arcus-bench run --runs 1 --full --within 3 --only idle
	target/release/arcus-bench dataplane --rounds 3 --scale 0.1 --slack 0.4

bench-agent: setup ## what a node needs to take 100,000 routes into its data plane; BENCH="--runs 9"
	cargo build --release -p arcus-vrouter-agent -p arcus-bench
	target/release/arcus-bench agent $(BENCH)

# With frame pointers, so that perf sees who called whom; in a directory of its own, since all is built anew.
flame: setup ## where the time goes: docs/flame.svg from perf, over the load of vpnv4-1m
	@command -v perf >/dev/null || { echo "make flame needs perf: apt-get install linux-perf"; exit 1; }
	RUSTFLAGS="-C force-frame-pointers=yes" cargo build --release --target-dir target/flame -p arcus-bgpd
	cargo build --release -p arcus-bench
	perf record -q -F 4999 -g -o target/perf.data -- target/release/arcus-bench run --full --runs 3 \
	  --only vpnv4-1m --bgpd target/flame/release/arcus-bgpd
	perf script --no-inline -F comm,ip,sym -i target/perf.data | target/release/arcus-bench flame docs/flame.svg

install: setup ## release build, installed below DESTDIR (default /)
	cargo build --workspace --bins --release
	packaging/install.sh target/release

clean: ## remove what was built
	cargo clean
