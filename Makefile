# make demo: predict the example protein    make test: all tests    make fast: unit tests, within a minute
# make check: format, lint, types, all tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two workers fit a small machine: every one of them loads torch.
WORKERS ?= 2
EXAMPLE := examples/designed_protein.cif

# The commands of the demo are listed in README.md; `make docs/images/designed_protein.png` redraws its picture.
.PHONY: demo test fast check lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/debye predict $(EXAMPLE) -o predicted --table --plot --overwrite
	@echo "Annotated copy, table and picture: predicted/designed_protein.{cif,csv,png}"

# The picture in the README.
docs/images/designed_protein.png: demo
	mkdir -p $(@D)
	cp predicted/designed_protein.png $@

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS)

# Tests that start no process and need no data.
fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not benchmark" tests/unit

check: lint test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf predicted build dist .pytest_cache .ruff_cache
