# Everything happens in .venv. A stamp in there says what is installed, so that a second call starts at once;
# a changed pyproject.toml installs again.

PYTHON ?= python3
ARGS   ?=
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

# pyright asks the network for a newer version of itself unless told not to.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo lab test soak check bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s  %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.package ## run a real batch through the pool, and print what the pool bought
	$(BIN)/loopai-lab demo $(ARGS)

lab: $(VENV)/.package ## open JupyterLab on the first notebook
	$(BIN)/loopai-lab lab $(ARGS)

bench: $(VENV)/.package ## measure, beside the floors and the peers
	$(BIN)/loopai-lab bench $(ARGS)

test: $(VENV)/.test ## run the tests; make test ARGS="-k pool"
	$(BIN)/python -m pytest $(ARGS)

soak: $(VENV)/.test ## run 100,000 random schedules of the pool; a few minutes
	$(BIN)/python -m pytest tests/pool/test_schedules.py -k random --schedules 100000 --timeout 3600 $(ARGS)

check: $(VENV)/.dev ## lint, format, types, layers, spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python .ci/strip_notebooks.py --check notebooks
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell

clean: ## remove .venv, caches and built files
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: there is no '$(PYTHON)' on this machine. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: loopai_lab needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' has no venv module. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.package: pyproject.toml $(VENV)/.made
	@echo "Installing loopai_lab into $(VENV) (a minute or two, once)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.made
	@echo "Installing loopai_lab and what its tests need into $(VENV) (a minute or two, once)"
	@$(PIP) install --editable '.[test]'
	@touch $@ $(VENV)/.package

$(VENV)/.dev: pyproject.toml $(VENV)/.made
	@echo "Installing loopai_lab, what its tests need and the checkers into $(VENV) (a minute or two, once)"
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.test $(VENV)/.package
