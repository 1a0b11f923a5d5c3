# From nothing to a run: `make demo`. From nothing to all tests: `make test`.

# The first Python on this machine that spark-lab supports; `make PYTHON=...` picks another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' >/dev/null 2>&1 && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: demo install test bench bench-compare lint format clean

# SPARK on the shipped tiny model: a few minutes on a CPU.
demo: install
	$(BIN)/spark-lab

install: $(INSTALLED)

# Torch goes first, on its own, so that a local wheel for CPUs is taken where there is one.
$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: apt install python3 python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) "torch==2.13.*"
	$(PIP) --editable ".[dev,joblib,submitit,ray,cmaes,postgres,dashboard,reasoning-gym,lm-eval]"
	touch $@

# All tests, the slow ones too.
test: install
	$(BIN)/python -m pytest $(ARGS)

# What SPARK costs and saves beside TRL, then whether the statistics keep their promises. Some of it:
# make bench ARGS="judge memory", make bench ARGS="truth kills", make bench ARGS="scoring --rounds 9".
bench: install
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

# What got slower between two of its files: the last two, or make bench-compare ARGS="OLD NEW".
bench-compare: install
	$(BIN)/python tests/benchmarks/compare.py $(ARGS)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
