# Two commands do all: make demo, make test.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
PYTHON ?= python3
BIN := .venv/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-all truth matrix schedulers two-processes bench bench-gpu bench-overhead experiment docs lint format clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/.demo ## Run the experiment and write runs/demo/report.html; options go in ARGS="--seed 1"
	$(BIN)/lrfind demo $(ARGS)

test: .venv/.dev lint ## Check style and types, run the tests that take seconds
	$(PYTEST) -m "not slow"

test-all: .venv/.dev lint ## Run every test
	$(PYTEST)

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
	rm -rf .venv runs dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis

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
