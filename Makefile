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

.PHONY: help install install-demo demo demo-ui test test-fast test-integration test-soak test-cluster servers test-browser screenshots chromium lint docs check matrix matrix-corners matrix-lock format clean

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

test: test-fast test-integration ## Run all tests that need no server but their own

test-fast: install ## Run the tests without a real Airflow, with the client's coverage
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not integration and not cluster and not soak and not browser" --cov --cov-report=
	$(BIN)/python -m coverage report --include='planet_provider/client/*' --fail-under=$(CLIENT_COVERAGE)

test-integration: install ## Run the tests with a real Airflow
	$(BIN)/python -m pytest -m "integration and not soak"

test-soak: install ## Run the tests that take minutes: every way to lose an answer, many processes, restarts
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "soak and not integration"
	$(BIN)/python -m pytest -m "soak and integration"

test-cluster: install servers ## Run the tests with Redis, PostgreSQL, Celery and S3, and many tasks in a real Airflow
	$(BIN)/python -m pytest -m cluster

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

test-browser: install chromium ## Look at Airflow's pages in a headless Chromium
	$(BIN)/python -m pytest -m browser

screenshots: install chromium ## The same, and take the docs' pictures anew
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

check: lint docs test ## Everything that must be green

# MATRIX_ALLOW_MISSING=1 lets a Python that this machine doesn't have, and uv can't get, pass.
matrix: $(filter .tools/%,$(UV)) ## Run the tests with the lowest and newest Airflow on the lowest and newest Python
	$(PYTHON) -m matrix.run --uv $(UV)

matrix-corners: $(filter .tools/%,$(UV)) ## The same with both lowest and with both newest
	$(PYTHON) -m matrix.run --uv $(UV) lowest newest

matrix-lock: $(filter .tools/%,$(UV)) ## Resolve anew what the lowest Airflow is tested with
	$(PYTHON) -m matrix.lock --uv $(UV)

format: install ## Format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove all that these targets made
	rm -rf .venv .tools .demo .matrix site .coverage* htmlcov dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
