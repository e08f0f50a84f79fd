# The environment is one venv; a stamp file says that it is as constraints.txt and pyproject.toml want it.
# `make demo` needs Python >= 3.11 with venv, make, and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt
TORCH := torch==2.13.0

.PHONY: demo serve test lint format bench docs clean

demo: $(VENV)/run.stamp
	$(BIN)/ultraedit demo --out demo-out --overwrite

# The demo's facts in a workspace, made once: what the demo leaves is a plain checkpoint, and edits need a journal.
serve: demo-ws.stamp
	$(BIN)/ultraedit serve demo-ws --name demo

demo-ws.stamp: $(VENV)/serve.stamp
	test -d demo-ws || $(BIN)/ultraedit init demo-ws --model smollm2 --dtype fastest
	$(BIN)/ultraedit edit demo-ws --file src/ultraedit/data/bundled/facts.jsonl
	touch $@

# One process a core, four at most; the tests of a file stay in one process.
test: $(VENV)/dev.stamp
	.ci/chromium
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/hadolint Dockerfile

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Timings mean something on an idle machine only.  DATA is any file of facts that `ultraedit validate` can read.
DATA ?= src/ultraedit/data/bundled/facts.jsonl
RESULTS := benchmarks/results

bench: $(VENV)/run.stamp
	$(BIN)/python benchmarks/startup.py --model smollm2 --out $(RESULTS)/startup.json
	$(BIN)/python benchmarks/turn.py --model smollm2 --data $(DATA) --dtype float32 --out $(RESULTS)/turn_float32.json
	$(BIN)/python benchmarks/turn.py --model smollm2 --data $(DATA) --dtype bfloat16 --out $(RESULTS)/turn_bfloat16.json
	$(BIN)/python benchmarks/solve.py --out $(RESULTS)/solve.json
	$(BIN)/python benchmarks/plan_check.py --model smollm2 --out $(RESULTS)/plan_check.json
	$(BIN)/python benchmarks/plan_published.py --out $(RESULTS)/plan_published.json

# The site, from docs/ and the docstrings; `python -m http.server --directory site` shows it with its search.
docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/run.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or later is needed: make PYTHON=...')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(TORCH)
	$(PIP) --editable .
	touch $@

$(VENV)/serve.stamp: $(VENV)/run.stamp
	$(PIP) --editable ".[serve]"
	touch $@

# The builder comes from its folder and never from an index: both packages are named in one call.
$(VENV)/dev.stamp: $(VENV)/run.stamp packages/ultraeditbench/pyproject.toml
	$(PIP) --editable ".[dev]" --editable packages/ultraeditbench
	touch $@

$(VENV)/docs.stamp: $(VENV)/run.stamp
	$(PIP) --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) demo-out demo-ws demo-ws.stamp build dist site
