# Every target makes what it needs in a virtual environment of its own: nothing is installed
# outside this folder. Another Python:  make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
# Debian's Python without python3-venv cannot put pip into a new environment; its own pip can.
PIP = $(if $(shell ls $(VENV)/bin/pip 2>/dev/null),$(RUN) -m pip,$(PYTHON) -m pip --python $(RUN)) \
	--disable-pip-version-check --quiet

.PHONY: demo test integration lint docs bench bench-quick instructions clean

demo: $(VENV)/installed-demo  ## run the main job: a sum and a word count in threads
	$(RUN) -m threadlog demo

test: $(VENV)/installed-test  ## run the tests, with branch coverage
	$(RUN) -m coverage erase
	$(RUN) -m coverage run -m pytest
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report

integration: $(VENV)/installed-integration  ## run the tests with other programs, as they are
	$(RUN) -m pytest -m integration tests/integration

lint: $(VENV)/installed-test $(VENV)/installed-lint  ## ruff and mypy --strict
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

docs: $(VENV)/installed-demo $(VENV)/installed-docs  ## build the documentation, warnings are errors
	$(RUN) -m sphinx -W --keep-going -n -q -b html docs docs/_build/html

bench: $(VENV)/installed-bench  ## ratios, side by side: a table, and docs/performance.md from it
	$(RUN) bench --save
	$(RUN) bench/report.py

bench-quick: $(VENV)/installed-bench  ## the same, less exact: the table, in two minutes
	$(RUN) bench --quick

instructions: $(VENV)/installed-demo  ## count what a record takes, by valgrind, and compare to limits
	$(RUN) bench/instructions.py

$(VENV)/installed-demo: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/installed-integration: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[test,integration]'
	@touch $@

$(VENV)/installed-bench: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[bench]'
	@touch $@

$(VENV)/installed-%: %/requirements.txt | $(VENV)/bin/python
	$(PIP) install --requirement $<
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'threadlog needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --without-pip --clear $(VENV)

clean:  ## remove what the targets made
	rm -rf $(VENV) docs/_build .coverage .coverage.*
