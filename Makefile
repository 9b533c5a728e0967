# make run    install into .venv and run the main job
# make test   install into .venv and run the tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := mpi,test,lint

# uv installs several times faster than pip but reads none of pip's settings, so they are handed on.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: run test lint types check clean

run: $(STAMP)
	$(BIN)/physcore run active-swimmer

test: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check: test lint types

$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv || true
	if [ -x $(BIN)/uv ]; then \
	  VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --editable ".[$(EXTRAS)]"; \
	else \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"; \
	fi
	touch $(STAMP)

clean:
	rm -rf $(VENV)
