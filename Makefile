# `make demo` shows facever at work, `make test` checks it. Both set up what is missing in .venv.

PYTHON ?= python3
VENV ?= .venv
# An index of smaller, CPU-only builds of torch; see README.md.
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check lint types tests format bench clean

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py demo

test: lint types tests

check: test

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

tests: $(VENV)/dev.stamp
	$(BIN)/python -m pytest

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/detection.py
	$(BIN)/python benchmarks/embedding.py
	$(BIN)/python benchmarks/all_pairs.py
	$(BIN)/python benchmarks/dlib_lfw.py
	$(BIN)/python benchmarks/training.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "facever needs Python 3.11 or later; name one with PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
ifneq ($(TORCH_INDEX),)
	$(PIP) install torch torchvision --index-url $(TORCH_INDEX)
endif

$(VENV)/demo.stamp: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[demo,dev]'
	@$(PIP) install --quiet --editable '.[dlib]' || echo "dlib can't be had here: its tests will be skipped"
	@touch $@

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache
