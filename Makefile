# Every target works in an empty clone; those that need the environment make it first.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-crash check format bench docs lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with everything pinned and hashed

$(STAMP): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "clickledger needs Python 3.11 or newer on the PATH"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The power-cut tests compile a small library. Where there is no C compiler, one comes as a package.
$(VENV)/.compiler: $(STAMP) requirements/compiler.txt
	@command -v cc >/dev/null || command -v gcc >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/compiler.txt
	@touch $@

demo: $(STAMP) ## the whole main job against a real server, in about a minute
	$(BIN)/python -m demo

test: $(STAMP) $(VENV)/.compiler ## every test that must pass
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/property tests/contract
	$(BIN)/python -m pytest tests/integration tests/crash tests/acceptance

test-fast: $(STAMP) ## unit and property tests, under a minute, no network
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/property

test-crash: $(STAMP) $(VENV)/.compiler ## the crash tests at full length: 200 rounds
	CLICKLEDGER_CRASH_ROUNDS=200 $(BIN)/python -m pytest tests/crash --timeout 7200

check: $(STAMP) ## lint, types, import contract, generated docs, largest modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check
	@echo "ten largest modules:"
	@find src -name '*.py' -exec wc -l {} + | grep -v total | sort -rn | head -10

format: $(STAMP) ## format the code and apply the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP) ## regenerate the reference pages
	$(BIN)/python -m docs.generate

bench: $(STAMP) ## every figure this machine can run, each beside its baseline
	$(BIN)/python -m bench

lock: ## pin the dependencies anew (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/runtime.txt
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements/dev.txt
	echo ziglang | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet -o requirements/compiler.txt

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
