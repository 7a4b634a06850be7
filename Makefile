# `make demo` shows facever at work, `make test` checks it. Both set up what is missing in .venv.

PYTHON ?= python3
VENV ?= .venv
# An index of smaller, CPU-only builds of torch; see README.md.
TORCH_INDEX ?=
# Photographs to measure with: lfw/, pairs.txt, train/.
FACEVER_DATA ?= ../shared/data
WEIGHTS := $(basename $(notdir $(wildcard models/*.safetensors)))

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check quick lint types tests torture format docs wheel bench choices picture figures cards clean

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
	$(BIN)/python -m pytest -n auto --dist worksteal

# Everything but slow tests: under a minute.
quick: lint types
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not data"

# The long form of tests/faults, which `make test` runs in a short one. The variables set how many.
torture: $(VENV)/dev.stamp
	FACEVER_MOMENTS=$${FACEVER_MOMENTS:-10} $(BIN)/python -m pytest tests/faults
	$(BIN)/python benchmarks/torture.py
	$(BIN)/python benchmarks/kills.py
	$(BIN)/python benchmarks/long_run.py

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/dev.stamp
	$(BIN)/sphinx-build -W --keep-going -q -b html docs build/docs

wheel: $(VENV)/dev.stamp
	$(BIN)/python -m build --outdir dist

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/crowds.py
	$(BIN)/python benchmarks/detection.py
	$(BIN)/python benchmarks/embedding.py
	$(BIN)/python benchmarks/all_pairs.py
	$(BIN)/python benchmarks/dlib_lfw.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/scale.py

# What each choice of the recipe brings, and which labels are suspicious: hours of training.
choices: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/label_noise.py
	$(BIN)/python benchmarks/ablation.py
	$(BIN)/python benchmarks/growth.py

# The README's picture, and the figures behind it.
picture: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/hard_photographs.py

# The figures of all shipped weights; `make cards` writes the cards from them and from the trainings' records, and the
# sums by which facever knows its own weights.
figures: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/held_out.py
	for w in $(WEIGHTS); do \
		$(BIN)/facever eval-lfw $(FACEVER_DATA)/lfw --pairs $(FACEVER_DATA)/pairs.txt --weights $$w --precision bf16 --json > lfw.json && \
		$(BIN)/facever eval-lfw $(FACEVER_DATA)/lfw --pairs $(FACEVER_DATA)/pairs.txt --weights $$w --precision fp32 --json > float32.json && \
		$(BIN)/facever eval-all $(FACEVER_DATA)/lfw --weights $$w --precision bf16 --within-groups --json > all.json && \
		mv lfw.json records/$$w/lfw.json && mv float32.json records/$$w/lfw-float32.json && mv all.json records/$$w/all-pairs.json || exit; \
	done

cards: $(VENV)/dev.stamp
	cd models && sha256sum *.safetensors > SHA256SUMS
	for w in $(WEIGHTS); do \
		r=records/$$w; t=; [ ! -e $$r/training.json ] || t="--training $$r"; \
		$(BIN)/facever card $$w --about $$r/about.toml $$t --held-out benchmarks/results/held_out.json \
			--evaluation $$r/lfw.json --evaluation $$r/all-pairs.json -o models/$$w.md || exit; \
	done

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
	$(PIP) install --quiet --editable '.[demo,dev,docs]'
	@$(PIP) install --quiet --editable '.[dlib]' || echo "dlib can't be installed here: its tests will be skipped"
	@touch $@

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache
