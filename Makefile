# Everything works from a fresh checkout: each target sets up what it needs (.ci/setup.sh).

BIN := .venv/bin
SEEDS ?= 200
REQUESTS ?= 20000
PYTEST_ARGS ?=
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test lint format simulate fuzz table bench setup python clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: setup ## A cluster of three nodes: deploy, kill a node, watch it heal, roll out over NATS
	@$(BIN)/longshore demo

test: setup ## Lint and every test: unit to multi-host end-to-end (PYTEST_ARGS="-k name" for some)
	@status=0; \
	$(MAKE) --no-print-directory lint || status=1; \
	$(BIN)/pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS) || status=$$?; \
	exit $$status

lint: python ## ruff, mypy --strict and the import contracts
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check --quiet . || { status=1; echo "unformatted files: make format"; }; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	exit $$status

format: python ## Let ruff fix what it can
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

simulate: python ## The whole cluster on virtual time under faults (SEEDS=200)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

fuzz: python ## Wild requests at the API: no 5xx, no hang, no trace (REQUESTS=20000)
	@$(BIN)/python -m tests.fuzz --requests $(REQUESTS)

table: python ## docs/kubectl.md and docs/pod-spec.md anew, from the sessions with kubectl and the kinds
	@$(BIN)/python -m tests.e2e.kubectl.table
	@$(BIN)/python -m tests.architecture.pod_spec

bench: setup ## Start rate, failover, decisions per second, footprint: a table and bench.json
	@$(BIN)/python -m tests.bench

setup: ## Virtual environment, system packages, Docker engine (all other targets do it)
	@.ci/setup.sh

python:
	@.ci/setup.sh python

clean: ## Remove what was built here
	rm -rf .venv build bench.json *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find proto orchestrator node_agent tests -name __pycache__ -type d -prune -exec rm -rf {} +
