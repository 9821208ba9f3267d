# Everything sets up .venv by itself when needed, and again when pyproject.toml or constraints.txt changed.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
COMPILE := $(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # as pip does, but on all cores; what is no Python stays as it is
export MPLBACKEND := Agg
export OPENAI_AGENTS_DISABLE_TRACING := 1

FUZZ_SECONDS ?= 20

.PHONY: compare fuzz test quick exhaustive notebooks pages gallery docs lint wheel lowest clean

compare: .venv/.run  ## compare race windows: a table, a chart and a report in out/compare
	$(BIN)/racewindow compare

fuzz: .venv/.run  ## look for races in the reference, for FUZZ_SECONDS; what failed is kept in out/corpus, and replayed first
	mkdir -p out
	$(BIN)/racewindow fuzz reference after-completion --profile ci --time-limit $(FUZZ_SECONDS) --jobs 2 \
		--topology same-store --topology separate-stores \
		--corpus out/corpus --output text --output junit=out/races.xml

test: .venv/.dev  ## all tests, notebooks included
	$(BIN)/python -m pytest -n 2 -m "not exhaustive"
	$(MAKE) --no-print-directory notebooks

quick: .venv/.dev  ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 -m "not slow and not exhaustive"

exhaustive: .venv/.dev  ## the tests that take minutes each
	$(BIN)/python -m pytest -n 2 -m exhaustive

# 07 measures real servers: alone, so that the others do not take their time.
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=120 --nbval-sanitize-with notebooks/nbval_sanitize.cfg \
	-p no:randomly -o addopts= -W default
notebooks: .venv/.dev
	$(BIN)/python -m pytest $(filter-out notebooks/07%,$(wildcard notebooks/*.ipynb)) $(NBVAL) -n 2 --dist loadscope
	$(BIN)/python -m pytest notebooks/07_real_servers.ipynb $(NBVAL)

pages: .venv/.dev  ## the notebooks as HTML, with the outputs they are stored with, into docs/notebooks (not under version control)
	$(BIN)/python -m nbconvert --to html --output-dir docs/notebooks notebooks/*.ipynb

gallery: .venv/.dev  ## draw every public chart, and the page that shows them, into docs/gallery
	$(BIN)/python docs/gallery/make.py

docs: .venv/.docs  ## the pages of docs/ with a reference from docstrings, to be read without a network: out/site/index.html
	PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lint: .venv/.dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

wheel: .venv/.dev  ## build the wheel, and run against it, instead of the source, what a user would do with it
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --target dist/installed dist/*.whl
	PYTHONPATH=dist/installed $(BIN)/python -c "import racewindow, oncestore; \
		assert all('dist/installed' in m.__file__ for m in (racewindow, oncestore))"
	PYTHONPATH=dist/installed $(BIN)/python -m pytest -n 2 -m "not slow and not exhaustive" -q \
		tests/test_cli.py::TestProcesses tests/test_bench.py tests/test_pytest_plugin.py tests/charts/test_report.py tests/server/test_command.py

lowest: ## the quick tests with the oldest supported versions of everything
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[dev]'
	.venv-lowest/bin/python -m pytest -n 2 -m "not slow and not exhaustive"

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "racewindow needs Python 3.11 or newer; install one, or give it: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[openai-agents]'
	$(COMPILE)
	touch $@

.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) -e '.[openai-agents,dev]'
	$(COMPILE)
	touch .venv/.run $@

.venv/.docs: .venv/.dev
	$(INSTALL) -e '.[openai-agents,dev,docs]'
	$(COMPILE)
	touch $@

clean:
	rm -rf .venv .venv-lowest dist out docs/notebooks .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
