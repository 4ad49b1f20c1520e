# The face of the project: what a person runs. `make help` lists the targets.

POLICY ?= examples/host.toml
VARIANT ?= vm
export KERNEL
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
VENV := build/venv/bin/python
# Where tests are not started by root, a user namespace makes them so, within it.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,unshare --user --map-root-user --map-auto)

.DEFAULT_GOAL := help
.PHONY: help deps kernel review selftest image boot test lint fuzz questions soak bench format lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18
	@echo
	@echo "  POLICY=FILE      the policy to build in, now $(POLICY)"
	@echo "  VARIANT=vm|pc    for a virtual or a real machine, now $(VARIANT)"
	@echo "  KERNEL=SOURCE    another kernel than Debian's stable one, see docs/kernel.md"

deps: ## install what is missing, Debian packages and Python's
	@$(PYTHON) -m factory.host test

kernel: ## build the kernel only, or take it from the cache
	@$(PYTHON) -m factory.host kernel
	@$(VENV) -m factory kernel --variant $(VARIANT)

review: ## say what the kernel is made of and what is open in it (JSON=1, ACCEPT=1)
	@$(PYTHON) -m factory.host kernel
	@$(VENV) -m factory review --variant $(VARIANT) $(if $(JSON),--json) $(if $(ACCEPT),--accept)

selftest: ## run the kernel's own tests of rules and routes inside it
	@$(PYTHON) -m factory.host boot
	@$(VENV) -m factory selftest --variant $(VARIANT)

image: ## build kernel and image with POLICY in it, into build/
	@$(PYTHON) -m factory.host image
	@$(VENV) -m factory image --variant $(VARIANT) $(POLICY)

boot: ## build the image and boot it in QEMU on this terminal
	@$(PYTHON) -m factory.host boot
	@$(VENV) -m factory image --variant $(VARIANT) $(POLICY)
	@$(VENV) -m factory boot --variant $(VARIANT) $(POLICY)

lint: ## check style and types
	@$(PYTHON) -m factory.host python
	@$(VENV) -m ruff format --check .
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy
	@build/venv/bin/lint-imports --cache-dir build/import-linter

test: ## build what is tested, then run everything: lint, unit, kernel and boot tests
	@$(PYTHON) -m factory.host test
	@$(MAKE) --no-print-directory lint
	@$(VENV) -m factory image --output build/test examples/host.toml
	@$(VENV) -m factory image --variant pc --output build/test-pc examples/host.toml
	@$(AS_ROOT) $(VENV) -m tests

fuzz: ## compare model and kernel over N decisions (N=1000000 SEED=7)
	@$(PYTHON) -m factory.host test
	@$(AS_ROOT) $(VENV) -m tests.tools.fuzz --count $(or $(N),100000) $(if $(SEED),--seed $(SEED))

questions: ## ask explain and real sockets the same N questions (N=100000 SEED=7)
	@$(PYTHON) -m factory.host test
	@$(AS_ROOT) $(VENV) -m tests.tools.questions --count $(or $(N),100000) $(if $(SEED),--seed $(SEED))

soak: ## pull cables, replace cards, fault every message, ask and scan every port (N=1000 MINUTES=30)
	@$(PYTHON) -m factory.host test
	@$(VENV) -m factory image --output build/test examples/host.toml
	@$(AS_ROOT) $(VENV) -m tests.tools.soak --count $(or $(N),1000) --minutes $(or $(MINUTES),30)
	@STRIDE=1 $(AS_ROOT) $(VENV) -m pytest tests/vm/test_faults.py
	@$(AS_ROOT) $(VENV) -m pytest -m soak

bench: ## measure what the rules and a room cost a packet (JSON=1)
	@$(PYTHON) -m factory.host test
	@$(AS_ROOT) $(VENV) -m tests.bench $(if $(JSON),--json)

format: ## format the code
	@$(VENV) -m ruff format .
	@$(VENV) -m ruff check --fix .

lock: ## make requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra dev \
		--no-emit-index-url --no-header pyproject.toml -o requirements.lock

clean: ## remove build/; the cache outside the tree stays
	rm -rf build
