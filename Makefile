# make demo: set up .venv and run the main job on embedded data.   make test: set up and run the fast suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=

.PHONY: demo test lint wheel clean

# The stamp depends on what decides the environment, so that a change of pins reinstalls.
$(VENV)/.stamp: pyproject.toml setup.py constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'armillary needs Python 3.11 or newer: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev,gpu]'
	touch $@

# Kernels are built with the package; a changed source builds the library anew. Without a compiler there is none.
KERNELS := $(shell find core/ops -name '*.cpp' -o -name '*.hpp')
$(VENV)/.kernels: $(KERNELS) setup.py $(VENV)/.stamp
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

.PHONY: .venv
.venv: $(VENV)/.kernels

demo: .venv
	$(BIN)/armillary demo --out demo

test: .venv
	$(BIN)/pytest -m "not slow and not gpu"

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright -p .typing $$(find -L .typing/armillary -name "*.py")
	$(BIN)/python tests/packaging/planted.py
	$(BIN)/lint-imports
	$(BIN)/deptry .

wheel: .venv
	PYTHON=$(BIN)/python sh tests/packaging/wheel.sh

clean:
	rm -rf $(VENV) build dist *.egg-info demo .pytest_cache .ruff_cache core/ops/native/libarmillary.so
