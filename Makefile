# Every target that people use has its words after `##`; `make help` prints them.
# The defaults may be overridden:  make test PYTHON=python3.13 VENV=.venv313

VENV ?= .venv
PYTHON ?=
export PYTHON
# nginx is in sbin, which is not on everyone's path.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

python := $(VENV)/bin/python
engine := $(wildcard ext/*.pyx ext/*/*.pxi ext/*.pxd ext/*.h proto/*.proto) setup.py
typed := src tests scripts $(wildcard bench)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup build demo demo-fleet experiments test hosts others lint sanitize wheel bundle fuzz bench accuracy clean distclean

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/built ## Make .venv with all that is needed, from a fresh clone on; missing system packages too
	@echo "ready: $(VENV)/bin/heyfleet"

build: $(VENV)/built ## Build the extension and the messages again where their sources changed

demo: $(VENV)/built ## Set up, make the first experiment from 3 local agents, before and after, and compare
	@scripts/demo.sh $(VENV)/bin/heyfleet

demo-fleet: bundle ## Boot five hosts on this machine, bring agents to four by ssh, run one load against the fifth (root)
	@scripts/system-packages.sh machines
	@$(python) -m tests.hosts.demo

experiments: $(VENV)/built ## Make all experiments that heyfleet began with, judge them, write docs/explain/experiments.md (two minutes)
	@scripts/system-packages.sh others
	$(python) -m bench.experiments --write $(ARGS)

test: $(VENV)/built ## Run all tests (ARGS="-k name" to choose)
	@scripts/system-packages.sh test
	$(python) -m pytest -q -n 2 --dist worksteal $(ARGS)

lint: $(VENV)/built ## Check style, types, import directions, the stub of the extension, and its compilers' warnings
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy $(typed)
	$(python) -m pytest -q tests/test_imports.py tests/test_tidy.py
	$(python) -m mypy.stubtest --mypy-config-file pyproject.toml \
	    --allowlist scripts/stubtest-allowlist.txt --ignore-unused-allowlist heyfleet.ext._core
	@$(MAKE) --no-print-directory $(VENV)/compiled-strictly

hosts: bundle ## Run the tests with hosts in network namespaces of their own (root; a quarter of an hour)
	@scripts/system-packages.sh hosts
	@scripts/system-packages.sh machines
	@scripts/system-packages.sh image
	$(python) -m pytest -q -m hosts tests/hosts $(ARGS)

others: $(VENV)/built ## Run the tests with a browser, Prometheus, Java's HdrHistogram and helm, which it installs
	@scripts/system-packages.sh test
	@scripts/system-packages.sh others
	@scripts/helm.sh >/dev/null
	$(python) -m pytest -q -m others tests $(ARGS)

sanitize: $(VENV)/built ## Run all tests on an extension with gcc's address and undefined-behaviour sanitizers
	@scripts/system-packages.sh test
	@scripts/sanitize.sh $(python) $(ARGS)

wheel: $(VENV)/built ## Make the wheel for hosts without a compiler, with its native libraries inside (dist/)
	@scripts/wheel.sh $(abspath $(python))

bundle: wheel ## Make an archive with an agent and all it needs, for hosts that have Python alone (VERSION=3.12 of theirs)
	@scripts/bundle.sh $(abspath $(python)) $(VERSION)

fuzz: $(VENV)/built ## Give each parser and decoder made-up input for 60 s (SECONDS=600, TARGETS="http1 http2", KEEP=1 for the corpora)
	@scripts/system-packages.sh fuzz
	@scripts/fuzz.sh $(python) $(or $(SECONDS),60) $(TARGETS)

bench: $(VENV)/built ## Measure against other load generators, side by side (ARGS go to python -m bench)
	@scripts/system-packages.sh bench
	$(python) -m bench $(ARGS)

accuracy: $(VENV)/built ## Hold reports against targets whose delays are known (two idle cores; eight minutes)
	@scripts/system-packages.sh bench
	$(python) -m bench.accuracy $(ARGS)

clean: ## Remove all that a build or a check has made, but not .venv
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis src/heyfleet.egg-info
	rm -f $(VENV)/built $(VENV)/compiled-strictly ext/_core.*.so proto/*_pb2.py proto/*_pb2.pyi
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv as well
	rm -rf $(VENV)

# The environment is made anew, or completed, when what it is made of changed.
$(VENV)/installed: pyproject.toml scripts/setup.sh scripts/pick-python.sh
	@scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/built: $(VENV)/installed $(engine)
	@echo "building the extension and the messages"
	@mkdir -p build
	@$(python) setup.py -q build_ext --inplace >build/build.log 2>&1 || { cat build/build.log >&2; exit 1; }
	@touch $@

$(VENV)/compiled-strictly: $(VENV)/built scripts/compile_strictly.py
	$(python) scripts/compile_strictly.py
	@touch $@
