# One recipe per thing a developer or CI does. `make` may install what it needs by apt when root.
SHELL := /bin/bash
PY := .venv/bin/python
UV := .venv/bin/uv
export UV_LINK_MODE ?= copy

.PHONY: setup demo test check bench lock format clean

setup: .venv/.done  ## a virtual environment with everything, at .venv

.venv/.done: requirements.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml infra/pyproject.toml)
	@bash infra/setup.sh
	@touch $@

demo: setup  ## the main job on real input, verified
	@$(PY) -m longshore_infra.demo

test: setup  ## all tests: fast ones first, then the real stack, chaos last
	@bash infra/test.sh

check: setup  ## format, lint, types, import contracts, links
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache
	@$(PY) infra/check_links.py

bench: setup  ## every figure as a ratio against a peer or a floor of the same run
	@$(PY) bench/run.py

format: setup  ## apply the formatter and the safe fixes
	@.venv/bin/ruff check --fix-only -q . ; .venv/bin/ruff format -q .

lock: setup  ## resolve again; names, versions and hashes only, so that any mirror serves
	@$(UV) pip compile -q --universal --no-header --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links \
		--python-version 3.11 --group dev --group bench pyproject.toml -o requirements.lock
	@sed -i '/^-e /d' requirements.lock  # our own packages, installed from the tree

clean:
	rm -rf .venv .mypy_cache .ruff_cache .hypothesis
