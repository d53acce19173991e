# Trimtab. `make run` serves; `make test` checks everything. Each does its own set-up, once.
# All paths are relative, so the clone may live anywhere, also in a path with spaces.

PYTHON ?= python3
BIN := .venv/bin
SDKS := 0.125 1.17 2.11
SDK_STAMPS := $(foreach v,$(SDKS),.venv-sdk-$(v)/.ready)
PIP = -m pip --disable-pip-version-check --no-input -qq
STAGE := scripts/stage
# Where the environment forbids to keep bytecode, each of the thousand processes that the tests start compiles all of
# Trimtab: half a second of processor time instead of a quarter, and 13 s instead of 4 before each stage's first test.
unexport PYTHONDONTWRITEBYTECODE
# Tests wait for processes and databases most of their time, so three or four share two cores. Neighbours stay together:
# servers that a file, or a combination of complaints, shares are started once, and whoever is done takes over.
SPREAD := -n 3 --dist worksteal
# Extra arguments of `trimtab serve`: make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test set-up lint test-fast test-e2e test-complaints test-chaos test-packaging bench-smoke bench release lock clean
# Recipes of one make run share .venv: never in parallel.
.NOTPARALLEL:

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

run: .venv/.runtime ## Set up, then serve on 127.0.0.1:8787
	@exec $(BIN)/trimtab serve $(ARGS)

test: ## Set up, then lint and every test (about 20 minutes on 2 cores)
	@rm -rf .setup/stages
	@$(MAKE) --no-print-directory set-up
	@$(MAKE) --no-print-directory lint test-fast test-e2e test-complaints test-chaos test-packaging bench-smoke
	@$(STAGE) --total

set-up: .venv/.dev .venv-release/.ready $(SDK_STAMPS) ## Set up all that the tests need
	@scripts/system-packages optional

# --- set-up: each step is stamped, says one line when it works, and is silent when done ---

.venv/.created:
	@scripts/system-packages required
	@echo "set-up: making .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml | .venv/.created
	@echo "set-up: installing Trimtab and what it runs on (under a minute)"
	@$(BIN)/python $(PIP) install --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@$(BIN)/python $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.runtime
	@echo "set-up: installing what the tests and checks need (about a minute)"
	@$(BIN)/python $(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

.venv-sdk-%/.ready: requirements/sdk-%.txt
	@scripts/system-packages required
	@echo "set-up: making a test environment with anthropic $*"
	@$(PYTHON) -m venv --clear .venv-sdk-$*
	@.venv-sdk-$*/bin/python $(PIP) install --require-hashes -r $<
	@touch $@

# --- stages of `make test`; each also runs alone ---

lint: .venv/.dev ## ruff, mypy --strict, import layers
	@$(STAGE) "lint: ruff check" $(BIN)/ruff check
	@$(STAGE) "lint: ruff format" $(BIN)/ruff format --check
	@$(STAGE) "lint: mypy --strict" $(BIN)/mypy src $(if $(wildcard benchmarks/*.py),benchmarks)
	@$(STAGE) "lint: import layers" $(BIN)/lint-imports --no-logo

test-fast: SPREAD := -n 4 --dist worksteal
test-fast: .venv/.dev ## Tests of one process
	@$(STAGE) "tests" scripts/tests $(SPREAD) --ignore=tests/e2e --ignore=tests/complaints --ignore=tests/chaos --ignore=tests/packaging tests

test-e2e: .venv/.dev $(SDK_STAMPS) ## Official SDKs against a running server
	@$(STAGE) "tests: end to end" scripts/tests $(SPREAD) tests/e2e

test-complaints: .venv/.dev $(SDK_STAMPS) ## What users of other gateways complain about, on both stores, 1 and 4 workers
	@$(STAGE) "tests: complaints" scripts/tests $(SPREAD) tests/complaints

test-chaos: .venv/.dev $(SDK_STAMPS) ## Processes killed, stores and platforms taken away under load, in short (about 5 minutes)
	@$(STAGE) "tests: chaos" scripts/tests -n 2 --dist worksteal tests/chaos

test-packaging: .venv/.dev .venv-release/.ready ## The built wheel in a clean environment
	@$(STAGE) "tests: packaging" scripts/tests tests/packaging

bench-smoke: .venv/.dev
	@scripts/bench --smoke

bench: .venv/.dev ## Every benchmark, in full
	@scripts/bench

# --- upkeep ---

.venv-release/.ready: requirements/release.txt
	@scripts/system-packages required
	@echo "set-up: making an environment for releases"
	@$(PYTHON) -m venv --clear .venv-release
	@.venv-release/bin/python $(PIP) install --require-hashes -r $<
	@touch $@

release: .venv-release/.ready ## Build sdist, wheel, SBOM and checksums of the tag at HEAD, twice (ARGS=--rehearse without a tag)
	@scripts/release $(ARGS)

LOCK = ../$(BIN)/pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(if $(UPGRADE),--upgrade)

lock: .venv/.dev ## Write the locks again (UPGRADE=1 takes newer releases)
	@echo "lock: runtime" && cd requirements && $(LOCK) -o runtime.txt ../pyproject.toml
	@echo "lock: extras" && cd requirements && $(LOCK) --extra postgres --extra otel --extra google --extra vision -o extras.txt ../pyproject.toml
	@echo "lock: bench-dbos" && cd requirements && $(LOCK) -o bench-dbos.txt bench-dbos.in
	@echo "lock: bench-litellm" && cd requirements && $(LOCK) -o bench-litellm.txt bench-litellm.in
	@echo "lock: build" && cd requirements && $(LOCK) -o build.txt build.in
	@echo "lock: dev" && cd requirements && $(LOCK) -o dev.txt dev.in
	@echo "lock: release" && cd requirements && $(LOCK) -o release.txt release.in
	@for v in $(SDKS); do echo "lock: sdk-$$v" && (cd requirements && $(LOCK) -o sdk-$$v.txt sdk-$$v.in) || exit 1; done

clean: ## Remove environments, caches and build outputs (not your data)
	@rm -rf .venv .venv-release .venv-sdk-* .setup dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
