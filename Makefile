# Every target works from a clean clone with make and Python 3.10 to 3.13; what is needed goes into .venv and .tools.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Bytecode off would double every import, and Airflow imports a lot; other environments are not ours.
unexport PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PYTHONPATH
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv

PYTHON ?= python3
UV := $(shell uv --version >/dev/null 2>&1 && command -v uv || echo .tools/bin/uv)
BIN := .venv/bin
CLIENT_COVERAGE := 95
# Two for a core, since tests also wait. Those with a real Airflow run one after another, in one of them.
WORKERS := $(shell $(PYTHON) -c 'import os; print(min(8, 2 * (os.cpu_count() or 1)))')
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist load

.PHONY: help install install-demo demo demo-ui test test-ci test-all mutation servers screenshots chromium lint docs check matrix matrix-corners matrix-lock format clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	echo '*' > .tools/.gitignore
	.tools/bin/python -m pip install --quiet uv

install: $(filter .tools/%,$(UV)) ## Install everything into .venv
	$(UV) sync --locked --python $(PYTHON)

install-demo: $(filter .tools/%,$(UV))
	$(UV) sync --locked --python $(PYTHON) --inexact --no-default-groups --group demo

demo: install-demo ## Order, wait for, download and verify a day of imagery in a real Airflow
	$(BIN)/python -m demo.run

demo-ui: install-demo ## The same, and leave Airflow open in the browser until Ctrl-C
	$(BIN)/python -m demo.run --keep-open

test: install ## Run the tests that prove the product on this machine, with one DAG run in a real Airflow
	$(PYTEST) -m "not ci and not slow"

test-ci: install servers chromium ## Run what CI adds: a cluster, a browser, processes, a short soak
	$(PYTEST) -m ci

test-all: install servers chromium ## Run every test, with many more examples, and measure the client's coverage
	$(PYTEST) --hypothesis-profile thorough --cov --cov-report=
	$(BIN)/python -m coverage report --include='planet_provider/client/*' --fail-under=$(CLIENT_COVERAGE)

mutation: install ## Change the code in 400 small ways, and count how many the tests notice
	$(UV) sync --locked --python $(PYTHON) --inexact --group mutation --quiet
	$(BIN)/python tests/mutation/run.py

servers: # By the system's package manager, where this user may
	@missing=""; \
	command -v redis-server >/dev/null || missing="redis"; \
	[ -n "$$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$$missing postgresql"; \
	[ -n "$$missing" ] || exit 0; \
	named() { for each in $$missing; do case $$1-$$each in apt-redis) printf 'redis-server ';; \
		dnf-postgresql) printf 'postgresql-server ';; *) printf '%s ' $$each;; esac; done; }; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$(named apt) >/dev/null; \
	elif [ "$$(id -u)" = 0 ] && command -v dnf >/dev/null; then dnf install -y -q $$(named dnf); \
	elif [ "$$(id -u)" = 0 ] && command -v apk >/dev/null; then apk add -q $$(named apk); \
	elif command -v brew >/dev/null; then brew install --quiet $$(named brew); \
	else echo "Missing: $$missing. Install it with the system's package manager, then run this again;" \
		"for example: sudo apt-get install $$(named apt)" >&2; exit 1; fi

screenshots: install chromium ## Take the pictures in the docs again
	SCREENSHOTS=docs/images $(BIN)/python -m pytest -m browser

chromium: # By the system's package manager, where this user may
	@missing=""; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
		|| missing="chromium"; \
	command -v chromedriver >/dev/null || missing="$$missing chromedriver"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null; \
	elif [ "$$(id -u)" = 0 ] && command -v dnf >/dev/null; then dnf install -y -q chromium chromedriver; \
	elif [ "$$(id -u)" = 0 ] && command -v apk >/dev/null; then apk add -q chromium chromium-chromedriver; \
	else echo "Missing: $$missing. Install it with the system's package manager, then run this again;" \
		"for example: sudo apt-get install chromium chromium-driver" >&2; exit 1; fi

lint: install ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: install ## Build the documentation into site/, with its links checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: lint docs test ## Run what must be green before each commit

# MATRIX_ALLOW_MISSING=1 lets a Python that this machine doesn't have, and uv can't get, pass.
matrix: $(filter .tools/%,$(UV)) ## Run the tests with the lowest and newest Airflow on the lowest and newest Python
	$(PYTHON) -m matrix.run --uv $(UV)

matrix-corners: $(filter .tools/%,$(UV)) ## The same with both lowest and with both newest
	$(PYTHON) -m matrix.run --uv $(UV) lowest newest

matrix-lock: $(filter .tools/%,$(UV)) ## Resolve the versions that the lowest Airflow is tested with
	$(PYTHON) -m matrix.lock --uv $(UV)

format: install ## Format the code, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove everything that these targets made
	rm -rf .venv .tools .demo .matrix .mutation site .coverage* htmlcov dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
