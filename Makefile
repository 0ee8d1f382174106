# make run: train the shipped recipe, watching it.   make test: the whole suite.   make check: lint, types, import rules.
# make cluster: as root on Debian, the tests that launch on a Slurm, which is made for them and removed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)
NEEDED := pyproject.toml constraints.txt
WHEELS := $(VENV)/wheels

ifdef UV
  PIP := $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python
else
  PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: run test cluster check bench clean

run: $(VENV)/.run
	$(BIN)/stagectl run recipes/doorkey.yaml

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2

cluster: $(VENV)/.test
	trap tests/cluster/down.sh EXIT && environment=$$(PYTHON=$(BIN)/python tests/cluster/up.sh) && . $$environment && \
	  $(BIN)/python -m pytest -m cluster -n 2

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.test
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/overhead.py
	$(BIN)/python bench/curriculum.py
	$(BIN)/python bench/simulate.py
	$(BIN)/python bench/launch.py

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "stagectl needs Python 3.11 or newer; name one: make PYTHON=python3.12 run" >&2; exit 1; }
ifdef UV
	$(UV) venv --quiet --seed --python $(PYTHON) $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

$(VENV)/.run: $(NEEDED) | $(BIN)/python
	$(PIP) --constraint constraints.txt --editable '.[train]'
	@touch $@

$(VENV)/.test: $(NEEDED) | $(BIN)/python
	$(PIP) --constraint constraints.txt --editable '.[train,simulate,agents,dev]'
	# what the bare package needs, for the test that installs its wheel into an empty environment without a network
	$(BIN)/python -m pip wheel --quiet --constraint constraints.txt --wheel-dir $(WHEELS) .
	@touch $(VENV)/.run $@
