# `make help` prints the text after `##` of each target.
# Override the defaults with, for example:  make test PYTHON=python3.13 VENV=.venv313

VENV ?= .venv
PYTHON ?=
export PYTHON
# Debian installs nginx in sbin, which is not on every user's path.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

python := $(VENV)/bin/python
native := $(wildcard $(foreach kind,pyx pxi pxd h,ext/*.$(kind) ext/*/*.$(kind)) proto/*.proto) setup.py
typed := src tests scripts $(wildcard bench)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup build demo demo-fleet experiments test hosts others lint sanitize wheel bundle fuzz bench accuracy clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/built ## Create .venv with what a run needs, from a fresh clone on, including missing system packages
	@echo "ready: $(VENV)/bin/heyfleet"

build: $(VENV)/built ## Compile the extension and generate the protobuf modules where their sources changed

demo: $(VENV)/built ## Set up, load a service before and after a change from 3 local agents, and compare the runs
	@scripts/demo.sh $(VENV)/bin/heyfleet

demo-fleet: $(VENV)/test $(VENV)/built bundle ## Boot five hosts on this machine, deploy agents to four by ssh, and load the fifth (root)
	@scripts/system-packages.sh machines
	@$(python) -m tests.hosts.demo

experiments: $(VENV)/test $(VENV)/built ## Repeat the first experiments, check their results and update their page (two minutes)
	@scripts/system-packages.sh others
	$(python) -m bench.experiments --write $(ARGS)

test: $(VENV)/test $(VENV)/built ## Run all tests that need no root (ARGS="-k name" selects some)
	@scripts/system-packages.sh test
	$(python) -m pytest -q -n 3 --dist worksteal $(ARGS)

lint: $(VENV)/lint $(VENV)/built ## Check style, types, import directions, the extension's stub and its compiler warnings
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy $(typed)
	$(python) -m pytest -q tests/test_imports.py tests/test_tidy.py tests/test_words.py
	$(python) -m mypy.stubtest --mypy-config-file pyproject.toml \
	    --allowlist scripts/stubtest-allowlist.txt --ignore-unused-allowlist heyfleet.ext._core
	@$(MAKE) --no-print-directory $(VENV)/compiled-strictly

hosts: $(VENV)/test $(VENV)/built bundle ## Run the tests on hosts in network namespaces (root; a quarter of an hour)
	@scripts/system-packages.sh hosts
	@scripts/system-packages.sh machines
	@scripts/system-packages.sh image
	$(python) -m pytest -q -m hosts tests/hosts $(ARGS)

others: $(VENV)/test $(VENV)/built ## Install a browser, Prometheus, Java's HdrHistogram and helm, and run the tests that need them
	@scripts/system-packages.sh test
	@scripts/system-packages.sh others
	@scripts/helm.sh $(python) >/dev/null
	$(python) -m pytest -q -m others tests $(ARGS)

sanitize: $(VENV)/test $(VENV)/built ## Run the tests with gcc's address and undefined-behavior sanitizers
	@scripts/system-packages.sh test
	@scripts/sanitize.sh $(python) $(ARGS)

wheel: $(VENV)/run ## Build a wheel with its native libraries inside, for hosts without a compiler (dist/)
	@scripts/wheel.sh $(abspath $(python))

bundle: wheel ## Build an archive with an agent and its dependencies, for hosts that have only Python (VERSION=3.12 for theirs)
	@scripts/bundle.sh $(abspath $(python)) $(VERSION)

fuzz: $(VENV)/test $(VENV)/built ## Fuzz each parser and decoder for 60 s (SECONDS=600, TARGETS="http1 http2", KEEP=1 to extend the corpora)
	@scripts/system-packages.sh fuzz
	@scripts/fuzz.sh $(python) $(or $(SECONDS),60) $(TARGETS)

bench: $(VENV)/test $(VENV)/built ## Compare with other load generators (ARGS is passed to python -m bench)
	@scripts/system-packages.sh bench
	$(python) -m bench $(ARGS)

accuracy: $(VENV)/test $(VENV)/built ## Compare reports with targets whose latencies are known (two idle cores; eight minutes)
	@scripts/system-packages.sh bench
	$(python) -m bench.accuracy $(ARGS)

clean: ## Remove what builds and checks leave behind, but keep .venv
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis src/heyfleet.egg-info
	rm -f $(VENV)/built $(VENV)/compiled-strictly ext/_core.*.so ext/engine/counters.pxi proto/*_pb2.py proto/*_pb2.pyi
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv as well
	rm -rf $(VENV)

# Three stages: what a run needs, so that the first report does not wait for development tools; those of tests; those of lint.
$(VENV)/run: pyproject.toml scripts/setup.sh scripts/progress.sh scripts/pick-python.sh
	@scripts/setup.sh $(VENV) run
	@touch $@

$(VENV)/test: $(VENV)/run
$(VENV)/lint: $(VENV)/test
$(VENV)/test $(VENV)/lint:
	@scripts/setup.sh $(VENV) $(@F)
	@touch $@

$(VENV)/built: $(VENV)/run $(native)
	@scripts/build.sh $(python)
	@touch $@

$(VENV)/compiled-strictly: $(VENV)/built scripts/compile_strictly.py
	$(python) scripts/compile_strictly.py
	@touch $@
