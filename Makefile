# Every check and every command by one name; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FOREIGN := .venv-foreign
ARGS ?=
RUN ?= outputs

.DEFAULT_GOAL := help
.PHONY: help train explain tensorboard test quick test-long test-gpu test-foreign coverage lint format docs bench planted screenshots clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# The pinned set, then the project itself; made anew when either list of packages changes.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[explain]' --group dev
	@touch $@

train: $(VENV)/installed  ## Train on the phantom and explain every epoch; ARGS='data=synapse data.root=…'
	$(BIN)/python train.py $(ARGS)

explain: $(VENV)/installed  ## Explain a checkpoint; ARGS='checkpoint=…'
	$(BIN)/python explain.py $(ARGS)

tensorboard: $(VENV)/installed  ## Open TensorBoard on all runs, or one: RUN=outputs/…
	$(BIN)/tensorboard --logdir $(RUN) --samples_per_plugin images=1000,text=1000

# Two processes of one thread each: threads that wait for one another are slower than none.
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 2

test: $(VENV)/installed  ## Run all tests but the long ones
	$(TESTS) -m 'not long' $(ARGS)

quick: $(VENV)/installed  ## Run the unit tests: attribution, measures, causal, report
	$(TESTS) -m 'not long' tests/network tests/attribution tests/causal tests/measures tests/models tests/report \
	  tests/tracking tests/test_names.py tests/test_imports.py tests/test_packages.py $(ARGS)

test-long: $(VENV)/installed  ## Run the long tests: kills, several processes, whole trainings
	$(TESTS) -m long -o faulthandler_timeout=1200 $(ARGS)

coverage: $(VENV)/installed  ## Run all tests but the long ones, and print which lines they miss
	$(TESTS) -m 'not long' --cov=segtrace --cov-report=term-missing:skip-covered $(ARGS)

test-gpu: $(VENV)/installed  ## Hold a GPU's maps, cuts and training against the CPU's
	$(BIN)/python -m pytest $(CURDIR)/tests/gpu --override-ini="addopts=--import-mode=importlib" $(ARGS)

# Of some 5 GiB: torch with all that it brings, and packages that need torchvision.
$(FOREIGN)/installed: tests/foreign/requirements.txt
	$(PYTHON) -m venv $(FOREIGN)
	$(FOREIGN)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

test-foreign: $(FOREIGN)/installed  ## Hold other packages' own networks against plain hooks, before a release
	PYTHONPATH=src OMP_NUM_THREADS=1 $(FOREIGN)/bin/python -m pytest $(CURDIR)/tests/foreign \
	  --override-ini="addopts=--import-mode=importlib" --override-ini="filterwarnings=default" \
	  -o faulthandler_timeout=1200 $(ARGS)

lint: $(VENV)/installed  ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/oxlint --quiet -D correctness -D eqeqeq -A no-unused-vars src/segtrace/report/page

format: $(VENV)/installed  ## Put the code into its style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/installed  ## Build the pages of docs/ as a site: open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

bench: $(VENV)/installed  ## Measure speed against the floor and the neighbours; takes minutes
	$(BIN)/python tests/benchmarks/bench_trace.py $(ARGS)
	$(BIN)/python tests/benchmarks/bench_volumes.py
	$(BIN)/python tests/benchmarks/bench_epoch.py
	$(BIN)/python tests/benchmarks/bench_necessity.py
	$(BIN)/python tests/benchmarks/bench_scripts.py
	$(BIN)/python tests/benchmarks/bench_explainers.py
	$(BIN)/python tests/benchmarks/bench_training.py
	$(BIN)/python tests/benchmarks/bench_prepare.py

planted: $(VENV)/installed  ## Train on planted evidence and put rules and explainers to it; takes an hour
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/planted_table.py $(ARGS)

screenshots: $(VENV)/installed  ## Photograph TensorBoard with a headless Chromium; RUN=outputs/…
	$(BIN)/python tests/browser/screenshots.py $(RUN) screenshots

clean:  ## Remove the virtual environment and all caches; runs and data stay
	rm -rf $(VENV) $(FOREIGN) site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
