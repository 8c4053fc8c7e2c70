# Targets for people and CI alike; a bare machine needs Python 3.11 or newer with venv, and make.

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

dev: $(DEV)  ## install everything, so that no test skips for want of a package

demo: $(DEMO)  ## remove a ball from a clip made on the spot; the result lies in demo/
	$(BIN)/cleanplate demo demo --overwrite

test: $(TEST)  ## run the fast tests
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(DEV)  ## run the slow tests
	$(BIN)/python -m pytest -m slow

test-wheel: $(DEV)  ## build, install elsewhere and test that; PYTHON=python3.13 for another one
	$(BIN)/python -m scripts.test_wheel --python $(PYTHON)

test-oldest: $(DEV)  ## the same with the oldest dependencies that are allowed
	$(BIN)/python -m scripts.test_wheel --python $(PYTHON) --oldest

coverage: $(DEV)  ## which lines the fast tests run; fails below 90 %
	$(BIN)/python -m pytest -n 2 -m "not slow" --cov --cov-report=term --cov-fail-under=90

fuzz: $(DEV)  ## try 40,000 hostile inputs; goes on where it was stopped
	nice $(BIN)/python -m tests.fuzz --count 3000 --folder .fuzz

test-faults: $(DEV)  ## kill, starve and spoil runs, and look at what is left (minutes; a small disk needs root)
	$(BIN)/python -m pytest -n 2 tests/faults

lint: $(LINT)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(LINT)  ## mend what lint finds, as far as that goes by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(LINT)  ## check types
	$(BIN)/mypy

layers: $(LINT)  ## check that each floor imports only lower floors
	$(BIN)/lint-imports

check: $(DEV) lint types layers test test-slow  ## everything

benchmark: $(DEV)  ## measure; the benchmarks say what they need
	$(BIN)/python -m cleanplate.research.benchmarks

check-quality: $(DEV)  ## fail when the embedded weights fill worse than recorded
	$(BIN)/python -m cleanplate.research.benchmarks check-quality

docs: $(DOCS)  ## build the documentation as a site, in build/site; warnings are errors
	PYTHONPATH=src NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet

pictures: $(DEV)  ## draw the pictures of the documentation again; takes some minutes
	$(BIN)/python -m scripts.draw_pictures

dist: $(DEV)  ## build a release in dist/, with bill of materials, licences and checksums
	$(BIN)/python -m scripts.build_release

sign:  ## sign the checksums in dist/ with the SSH key KEY=FILE
	ssh-keygen -Y sign -f '$(KEY)' -n cleanplate dist/SHA256SUMS

clean:  ## delete what these targets made
	rm -rf $(VENV) $(DOCS_VENV) .fuzz demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Installed again only when what is needed changed; the order-only venv is made once.
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

# The site is built without torch: an environment of its own is there in seconds.
$(DOCS): docs/requirements.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --disable-pip-version-check --quiet -r $<
	@touch $@
