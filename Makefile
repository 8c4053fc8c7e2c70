# Targets for developers and CI. They need make, and Python 3.11 or newer with venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEV := $(VENV)/.installed-dev
TEST := $(VENV)/.installed-test
LINT := $(VENV)/.installed-lint
DEMO := $(VENV)/.installed-demo
DOCS_VENV := $(VENV)-docs
DOCS := $(DOCS_VENV)/.installed
PIP = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help dev demo test test-slow test-faults coverage fuzz test-wheel test-oldest lint types layers
.PHONY: check format benchmark check-quality docs pictures dist sign clean

help:  ## show these targets
	@sed -n 's/^\([a-z-]*\):.*##/\1:/p' $(MAKEFILE_LIST)

dev: $(DEV)  ## install all extras, so that no test is skipped for a missing package

demo: $(DEMO)  ## remove a ball from a rendered clip; write the result to demo/
	$(BIN)/cleanplate demo demo --overwrite

test: $(TEST)  ## run the fast tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(DEV)  ## run the slow tests
	$(BIN)/python -m pytest -m slow

test-wheel: $(DEV)  ## test the wheel in a new environment; PYTHON=python3.13 for another Python
	$(BIN)/python -m scripts.test_wheel --python $(PYTHON)

test-oldest: $(DEV)  ## the same with the oldest allowed dependencies
	$(BIN)/python -m scripts.test_wheel --python $(PYTHON) --oldest

coverage: $(DEV)  ## measure which lines the fast tests run; fail below 90 %
	$(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term --cov-fail-under=90

fuzz: $(DEV)  ## try 40,000 hostile inputs; continue an interrupted run
	nice $(BIN)/python -m tests.fuzz --count 3000 --folder .fuzz

test-faults: $(DEV)  ## kill runs, exhaust memory and disk, and check what is left (minutes; needs root for a small disk)
	$(BIN)/python -m pytest -n 2 tests/faults

lint: $(LINT)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(LINT)  ## fix style where that is automatic
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(LINT)  ## check types
	$(BIN)/mypy

layers: $(LINT)  ## check that each package imports only packages below it
	$(BIN)/lint-imports

check: $(DEV) lint types layers test test-slow  ## run all checks and tests

benchmark: $(DEV)  ## measure speed and memory
	$(BIN)/python -m cleanplate.research.benchmarks

check-quality: $(DEV)  ## fail if the embedded weights fill worse than recorded
	$(BIN)/python -m cleanplate.research.benchmarks check-quality

docs: $(DOCS)  ## build the documentation as a site, in build/site; warnings are errors
	PYTHONPATH=src NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet

pictures: $(DEV)  ## draw the pictures of the documentation; takes some minutes
	$(BIN)/python -m scripts.draw_pictures

dist: $(DEV)  ## build a release in dist/, with bill of materials, licences and checksums
	$(BIN)/python -m scripts.build_release

sign:  ## sign the checksums in dist/ with the SSH key KEY=FILE
	ssh-keygen -Y sign -f '$(KEY)' -n cleanplate dist/SHA256SUMS

clean:  ## delete the files of these targets
	rm -rf $(VENV) $(DOCS_VENV) .fuzz demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Reinstall only if dependencies changed; the order-only venv is created once.
$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV); the first time takes some minutes.'
	$(PIP) -e '.[dev]'
	@touch $@ $(TEST) $(LINT)

$(TEST): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV); the first time takes some minutes.'
	$(PIP) -e '.[test]'
	@touch $@

$(LINT): $(TEST)
	$(PIP) -e '.[lint,test]'
	@touch $@

$(DEMO): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV); the first time takes some minutes.'
	$(PIP) -e '.[demo]'
	@touch $@

# The site is built without torch, in a separate environment that installs in seconds.
$(DOCS): docs/requirements.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --disable-pip-version-check --quiet -r $<
	@touch $@
