# Everything that one needs to know is in `make help`. Nothing has to be installed by hand but make itself and,
# on a bare Debian, root's right to install packages.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Where it is set, every daemon that a test starts would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready
IN_SANDBOX := $(PYTHON) -m sandbox exec --
WORKERS ?= 2
PYTEST := $(PYTHON) -m pytest
# Real servers, keys and repositories by the hundred: left to `make test`.
SLOW := tests/unit/test_hostile_repositories.py tests/unit/test_verify.py tests/contract/test_git_servers.py $(wildcard tests/contract/test_revert*.py)

.PHONY: help demo test test-unit test-e2e check format docs bench lock image chart-lint sandbox-up sandbox-down clean

help: ## shows this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The Python side: a virtual environment of exactly what the lock file says.
$(READY): requirements.lock pyproject.toml tools/venv.sh
	@bash tools/venv.sh $(VENV)
	@touch $(READY)

demo: $(READY) ## a release and a rollback under load on a real Kubernetes, from nothing (KEEP=1 leaves it running)
	@$(PYTHON) -m demo

test: $(READY) check ## all tests, unit to end-to-end on the sandbox
	@$(PYTHON) tools/test.py --workers $(WORKERS)

test-unit: $(READY) ## the fast tests: no cluster, no server, no hundreds of repositories
	@$(PYTEST) tests/unit tests/contract -q -n $(WORKERS) $(addprefix --ignore=,$(SLOW))

test-e2e: $(READY) sandbox-up image ## contract and end-to-end tests on the sandbox, which is left running
	@$(PYTHON) -m sandbox helm version >/dev/null # built here: inside, nothing can be fetched
	@$(IN_SANDBOX) $(PYTEST) tests/contract -q
	@$(IN_SANDBOX) $(PYTEST) tests/e2e -n $(WORKERS) --dist=loadgroup

check: $(READY) ## style, types, import directions, generated documents
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(PYTHON) -m docs.generate --check

format: $(READY) ## puts style right
	@$(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/ruff check --quiet --fix .

docs: $(READY) ## writes the generated documents anew
	@$(PYTHON) -m docs.generate

bench: $(READY) ## switch and revert, measured beside a bare script (no part of the tests)
	@$(PYTHON) -m benchmarks

LOCK := $(VENV)/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

lock: $(READY) ## writes requirements.lock anew from pyproject.toml, and the image's two in step with it
	@$(LOCK) --extra dev --output-file requirements.lock pyproject.toml
	@$(LOCK) --constraint requirements.lock --output-file image/requirements.lock pyproject.toml
	@$(LOCK) --constraint requirements.lock --only-build-deps --build-deps-for wheel \
	  --output-file image/build-requirements.lock pyproject.toml

image: $(READY) ## the project's image, built without an image registry, and imported where a sandbox runs
	@$(PYTHON) -m sandbox image

chart-lint: $(READY) ## what helm says of the chart; builds helm first
	@for values in helm/reconciler/ci/*.yaml; do $(PYTHON) -m sandbox helm lint --strict --quiet helm/reconciler --values $$values; done

sandbox-up: $(READY) ## a real Kubernetes on this machine
	@$(PYTHON) -m sandbox up

sandbox-down: $(READY) ## ends it, and leaves nothing behind
	@$(PYTHON) -m sandbox down

clean: ## removes the virtual environment and caches of tools
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
