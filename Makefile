# make demo: predict the example protein    make test: all tests    make check: format, lint, types, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Two workers fit a small machine: every one of them loads torch.
WORKERS ?= 2
EXAMPLE := examples/designed_protein.cif

.PHONY: demo test check lint clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/debye predict $(EXAMPLE) -o predicted --overwrite
	$(BIN)/python examples/show_prediction.py $(EXAMPLE) docs/images/designed_protein.png

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS)

check: lint test

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

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
