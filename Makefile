# Everything is done from here; `make` alone lists it.
# Needs: Linux, Python 3.11 or newer with venv, make. On Debian:
#   apt-get install -y make python3-venv

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# An old pip speaks of deprecation unless sources are built as a new one does.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --use-pep517

.DEFAULT_GOAL := help
.PHONY: help run demo test test-fast check fmt bench chaos fuzz proof proof-pools proof-smtp soak docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## Start everything with a sandbox MX; Ctrl-C stops it
	@exec $(BIN)/mta up --sandbox

demo: $(VENV)/run.stamp ## The same stack, finite: send some hundred messages, check their way, stop
	@exec $(BIN)/mta demo

test: $(VENV)/dev.stamp ## Run the whole test suite on embedded services
	@$(BIN)/python -m tests.run

test-fast: $(VENV)/dev.stamp ## Run the tests that need no service
	@$(BIN)/pytest tests/unit tests/dialogue

check: $(VENV)/dev.stamp ## Lint, format, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(VENV)/dev.stamp ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/run.stamp ## Measure acceptance and delivery on this machine
	@$(BIN)/python -m tests.bench

chaos: $(VENV)/dev.stamp ## 5,000 messages while everything is killed in turn: what is lost, what came twice
	@$(BIN)/python -m tests.proof.chaos

fuzz: $(VENV)/dev.stamp ## Hostile input for every parser and the server's state machine: a night
	@$(BIN)/python -m tests.fuzz.run

proof: $(VENV)/dev.stamp ## Limits with 2, 8 and 32 workers, fairness, a million deferred: half an hour
	@for n in 2 8 32; do $(BIN)/python -m tests.proof.limits --workers $$n || exit 1; done
	@$(BIN)/python -m tests.proof.limits --workers 8 --stop-redis
	@$(BIN)/python -m tests.proof.campaign
	@$(BIN)/python -m tests.proof.million

proof-pools: $(VENV)/dev.stamp ## Shares, caps, rests and returns of ten addresses; reloads under load: ten minutes
	@$(BIN)/python -m tests.proof.pools
	@$(BIN)/python -m tests.proof.reload

proof-smtp: $(VENV)/dev.stamp ## 2,000 idle clients, 1 GiB, slow readers, Postfix as a peer (as root): a quarter of an hour
	@$(BIN)/python -m tests.proof.idle
	@$(BIN)/python -m tests.proof.large
	@$(BIN)/python -m tests.proof.reader
	@$(BIN)/python -m tests.proof.listener

soak: $(VENV)/dev.stamp ## 200,000 messages in a row: does the memory of any process grow? Half an hour
	@$(BIN)/python -m tests.proof.soak

docs: $(VENV)/dev.stamp ## Check that every link and named file in the docs exists
	@$(BIN)/pytest tests/unit/test_docs.py

lock: ## Resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra embedded --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet --upgrade -o requirements.lock
	uv pip compile pyproject.toml --extra embedded --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet --upgrade -c requirements.lock -o requirements-dev.lock

clean: ## Remove the virtual environment, caches and the state folder
	rm -rf $(VENV) var dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Python 3.11 or newer is needed, with venv: on Debian, apt-get install -y python3-venv" \
	    "(or name one: make run PYTHON=python3.11)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) lacks venv: on Debian, apt-get install -y python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --editable .
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "installing test tools into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
