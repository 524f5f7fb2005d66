# What CI runs, and nothing else. `make help` lists it.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
INSTANCE ?= build/instance

.PHONY: help setup demo up check test bench requirements clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

setup:  ## install Debian packages and the virtual environment
	@scripts/setup.sh

demo: setup  ## sign four real images with a quorum and verify them with other people's programs
	@$(PYTHON) -m demo

up: setup  ## run server and signer of $(INSTANCE) for you to use; made if there is none
	@test -d $(INSTANCE) || scripts/first-instance.sh $(INSTANCE)
	@.venv/bin/sealwright up $(INSTANCE)

check: setup  ## format, lint, types, import contracts
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

test: setup  ## the whole suite
	$(PYTHON) -m pytest -n 2 --dist loadfile -q

bench: setup  ## the figures of docs/performance.md, into build/bench.json
	$(PYTHON) -m benchmarks

requirements:  ## pin all dependencies anew (needs uv)
	for name in base server dev; do \
	  uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-header --no-emit-index-url \
	    requirements/$$name.in -o requirements/$$name.txt; \
	done

clean:  ## remove what can be made again
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
