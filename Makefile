# The commands of this project. `make help` lists them; each makes what it needs first.
#
# .venv        an editable install with the tools: lint, types, import rules, docs
# .venv-wheel  the built wheel with what the tests need: tests run against what users install
# .cache       real peers (Consul, Envoy), fetched by tests/support/real_parts.py

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
BACKEND ?= builtin
# More than cores: most of the time they wait for processes, not for a core.
PYTEST_WORKERS ?= 4
PYTEST_ARGS ?=
TESTS ?= tests

# -qq keeps errors and drops pip's warnings about package sources that a machine may list.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
# With the folders: a module that is gone has to go from the wheel too.
SOURCES := $(shell find core plugins -not -path '*/__pycache__*') README.md LICENSE
DEV := .venv/bin
WHEEL := .venv-wheel/bin

# $(call need,PROGRAM,INSTALL LINE): stop, naming the missing program, before anything is done.
need = command -v $(1) >/dev/null || { echo "make $@: $(1) is missing: $(2)" >&2; exit 1; }

.PHONY: help demo test lint unit contract integration matrix bench soak fuzz docs parts clean python

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -nE 's/^([a-z]+):.*## (.*)/make \1: \2/p' $(MAKEFILE_LIST)
	@echo "BACKEND=builtin|envoy|custom_exec chooses the demo's backend, PYTHON=... the interpreter."

demo: .venv/.ready ## two services talk over mutual TLS on this machine; BACKEND=envoy, BACKEND=custom_exec
	@$(DEV)/python docs/demo/run.py --backend "$(BACKEND)"

test: lint parts .venv-wheel/.ready ## lint, types, import rules, and all tests against the built wheel
	$(WHEEL)/python -m pytest -n $(PYTEST_WORKERS) --durations=15 $(PYTEST_ARGS) $(TESTS)

lint: .venv/.ready ## style, format, types, import rules
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy
	$(DEV)/lint-imports

unit: TESTS := tests/unit
unit: .venv-wheel/.ready ## the unit tests alone
	$(WHEEL)/python -m pytest -n $(PYTEST_WORKERS) $(PYTEST_ARGS) $(TESTS)

contract: TESTS := tests/contract
contract: parts .venv-wheel/.ready ## the same cases on the embedded agent and on a real Consul
	$(WHEEL)/python -m pytest -n $(PYTEST_WORKERS) --durations=15 $(PYTEST_ARGS) $(TESTS)

integration: TESTS := tests/integration
integration: parts .venv-wheel/.ready ## real Envoy, real Consul, real processes
	$(WHEEL)/python -m pytest -n $(PYTEST_WORKERS) --durations=15 $(PYTEST_ARGS) $(TESTS)

matrix: parts .venv-wheel/.ready ## the Envoy tests with every Envoy from 1.36 to 1.40
	@$(DEV)/python tests/support/real_parts.py envoy 1.37 envoy 1.38 envoy 1.39
	CONNECT_PROXY_ALL_ENVOYS=1 $(WHEEL)/python -m pytest -n $(PYTEST_WORKERS) $(PYTEST_ARGS) tests/integration -k envoy

bench: parts .venv/.ready ## the built-in proxy beside Consul's and Envoy; writes docs/performance.md
	@$(call need,wrk,sudo apt-get install wrk)
	@$(call need,iperf3,sudo apt-get install iperf3)
	@PATH="$$PATH:/usr/sbin"; $(call need,nginx,sudo apt-get install nginx-light)
	$(DEV)/python tests/bench/run.py --write docs/performance.md
	$(DEV)/python tests/bench/control_plane.py --write docs/performance.md
	$(DEV)/python tests/bench/changes.py --write docs/performance.md

soak: SECONDS_OF_SOAK ?= 300
soak: .venv/.ready ## five minutes while everything changes, then managed proxies in number: nothing lost, nothing left
	$(DEV)/python tests/soak/run.py --seconds $(SECONDS_OF_SOAK)
	$(DEV)/python tests/soak/managed.py

fuzz: SECONDS_OF_FUZZING ?= 60
fuzz: .venv/.ready ## a minute for each of the readers of network bytes; needs atheris
	@$(DEV)/python -c 'import atheris' 2>/dev/null \
		|| { echo "make $@: atheris is missing: $(DEV)/python -m pip install atheris" >&2; exit 1; }
	$(DEV)/python tests/fuzz/run.py --seconds $(SECONDS_OF_FUZZING)

docs: .venv/.docs ## the documentation as a site, in build/docs/site
	$(DEV)/python -m pytest -q tests/unit/test_docs.py
	@rm -rf build/docs && mkdir -p build/docs && cp -R docs build/docs/pages && rm -r build/docs/pages/demo
	@mv build/docs/pages/zensical.toml build/docs/
	$(DEV)/zensical build --clean --strict --config-file build/docs/zensical.toml

parts: .venv/.ready ## fetch the real Consul and Envoy that the tests use into .cache
	@$(DEV)/python tests/support/real_parts.py consul envoy 1.36 envoy 1.40 \
		|| { test -z "$${CI:-}" && echo "make $@: going on without: the tests that need it will say so" >&2; }

clean: ## remove everything that the other commands made, but for .cache
	rm -rf .venv .venv-wheel build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv is missing: sudo apt-get install python3-venv" >&2; exit 1; }

.venv/.ready: pyproject.toml | python
	@echo "preparing .venv (an editable install with the tools)"
	@"$(PYTHON)" -m venv .venv
	@$(DEV)/python $(PIP_INSTALL) -e '.[all,dev]'
	@touch $@

.venv/.docs: .venv/.ready
	@$(DEV)/python $(PIP_INSTALL) -e '.[all,dev,docs]'
	@touch $@

.venv-wheel/.ready: pyproject.toml $(SOURCES) | python
	@echo "preparing .venv-wheel (the built wheel, for the tests)"
	@test -x $(WHEEL)/python || "$(PYTHON)" -m venv .venv-wheel
	@rm -rf build/wheel
	@"$(WHEEL)/python" -m pip wheel -qq --disable-pip-version-check --no-deps --wheel-dir build/wheel .
	@wheel=$$(echo build/wheel/connect_proxy-*.whl) \
		&& $(WHEEL)/python $(PIP_INSTALL) "$$wheel[all,dev]" \
		&& $(WHEEL)/python $(PIP_INSTALL) --force-reinstall --no-deps "$$wheel"
	@touch $@
