# Two commands do all: make demo, make test.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
LOWEST := .venv-lowest/bin
LOWEST_TESTS := test_pytorch test_records test_curves test_suggest test_loop test_search test_lightning \
	test_cli test_plot_finding
PURE := test_records test_curves test_schedules test_suggest test_range_test test_replicated \
	test_compare_arms test_compare_statistics
CORE := */isolation/*,*/optim/*,*/suggest/*,*/lrfind/loop.py

.PHONY: help demo check test test-all test-lowest coverage mutants package truth matrix schedulers two-processes bench \
	bench-gpu bench-overhead experiment docs lint format clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/.demo ## Run the experiment and write runs/demo/report.html; options go in ARGS="--seed 1"
	$(BIN)/lrfind demo $(ARGS)

test: .venv/.dev lint ## Check style and types, run the tests that take seconds
	$(PYTEST) -m "not slow"

test-all: .venv/.dev lint ## Run every test
	$(PYTEST)

check: .venv/.dev lint ## Check style and types, run the tests of what needs no training: half a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -p no:xdist $(PURE:%=tests/%.py)

test-lowest: .venv-lowest/.done ## Run the tests of find with the oldest versions that are declared (constraints-lowest.txt)
	OMP_NUM_THREADS=1 $(LOWEST)/python -m pytest -q -m "not slow" -W default $(LOWEST_TESTS:%=tests/%.py) $(ARGS)

coverage: .venv/.dev ## Run the tests and show which lines and branches they miss; ARGS="tests/test_loop.py" runs a few
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -q -n 2 --dist loadfile -m "not slow" $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --sort=cover
	$(BIN)/coverage report --include='$(CORE)' --show-missing

mutants: .venv/.mutants ## Change the core a little, see whether the tests notice; ARGS names what: see CONTRIBUTING.md
	OMP_NUM_THREADS=1 $(BIN)/mutmut run $(or $(ARGS),"lrfind.suggest.edges*")
	$(BIN)/mutmut results

package: .venv/.package ## Build the package, check it, install it where nothing else is, run README's example
	rm -rf dist .venv-wheel
	$(BIN)/python -m build -q
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip install -q -c constraints.txt dist/*.whl
	cd dist && ../.venv-wheel/bin/python ../tests/wheel.py ../README.md core
	.venv-wheel/bin/python -m pip install -q -c constraints.txt "$$(ls dist/*.whl)[cli,plot]"
	cd dist && ../.venv-wheel/bin/python ../tests/wheel.py ../README.md extras

truth: .venv/.bench ## Compute what the benchmark's table of truth lacks; stop and start again at will
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.truth $(ARGS)

bench: .venv/.bench ## Score every finder and write docs/benchmark.md; ARGS=--fresh runs everything anew
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks $(ARGS)

experiment: .venv/.bench ## Run the experiment with five seeds and write its tables; stop and start again at will
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.experiment $(ARGS)

matrix: .venv/.dev ## Run every cell of the matrix of loops and write docs/matrix.md
	OMP_NUM_THREADS=1 $(BIN)/python tests/matrix_page.py

schedulers: .venv/.dev ## Apply a rate under every scheduler and write docs/schedulers.md
	$(BIN)/python tests/schedulers_page.py

two-processes: .venv/.dev ## Run every loop on two processes and write what works into docs/loops.md
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.two_processes_page

bench-gpu: .venv/.bench ## Check bit-exactness and measure overhead and memory on a GPU; says so where there is none
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gpu $(ARGS)

bench-overhead: .venv/.bench ## Time a probe step beside a bare loop and the peers; write docs/overhead.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.overhead

docs: .venv/.dev ## Build the documentation as a site, site/index.html; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: .venv/.dev ## Check style and types
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/mypy

format: .venv/.dev ## Put the code into the house format
	$(BIN)/ruff format src tests benchmarks docs
	$(BIN)/ruff check --fix src tests benchmarks docs

clean: ## Remove the environment and everything made by the targets
	rm -rf .venv .venv-* mutants .coverage* runs dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/pyvenv.cfg:
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) -e '.[demo]'
	@touch $@

.venv/.dev: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@

.venv/.bench: .venv/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) -e '.[bench]'
	@touch $@

.venv/.mutants: .venv/.dev
	$(PIP) 'mutmut>=3.8'
	@touch $@

.venv/.package: .venv/pyvenv.cfg
	$(PIP) build twine
	@touch $@

.venv-lowest/.done: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install -q --disable-pip-version-check -c constraints-lowest.txt -e '.[cli,plot,lightning]' \
		hypothesis pytest pytest-xdist
	@touch $@
