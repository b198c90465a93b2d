# Works on a bare machine: python3.11 or newer (with pip or venv), git, make. uv and every package come
# from PyPI, pinned, into this folder. Interpreters are never downloaded.
#   make PYTHON=/path/to/python3.12 VENV=.venv-3.12 test     another interpreter, beside the first

UV_VERSION := 0.13.9
TOOLS      := .tools/uv-$(UV_VERSION)
VENV       ?= .venv
UV         ?= $(TOOLS)/bin/uv
PYTHON     ?=
DEMO_ARGS  ?=
TEST_ARGS  ?=
BENCH_ARGS ?=
RIG_ARGS   ?= --help
GUARANTEES := tests/guarantees tests/stores tests/brokers tests/runtime/test_ambiguous_commits.py
CHECKED    := src tests $(wildcard examples benchmarks rigs)

SHELL       := /bin/sh
.SHELLFLAGS := -ec
MAKEFLAGS   += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

BIN  := $(VENV)/bin
SYNC  = $(UV) sync --quiet --frozen --inexact --python "$$(cat $(VENV).python)"

.PHONY: help demo test matrix lint format types imports bench kafka jaeger polyglot rig shots wheel lock clean asked-for

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: $(VENV)/.run  ## the shop under traffic, until Ctrl-C (DEMO_ARGS="--for 10s --json")
	@$(BIN)/borough demo $(DEMO_ARGS)

test: $(VENV)/.dev .tools/node  ## the test suite (TEST_ARGS="-k outbox")
	@$(BIN)/python -m pytest -n auto $(TEST_ARGS)

matrix: $(VENV)/.dev  ## the guarantees on every store with every broker, and the page that this run makes
	@record=$$(mktemp); status=0; \
	$(BIN)/python -m pytest -n 2 $(GUARANTEES) --matrix --record "$$record" $(TEST_ARGS) || status=$$?; \
	$(BIN)/python -m tests.docs.guarantees --record "$$record" || status=$$?; \
	rm -f "$$record"; exit $$status

lint: $(VENV)/.dev  ## style and formatting
	@$(BIN)/ruff check --quiet $(CHECKED)
	@$(BIN)/ruff format --quiet --check --diff $(CHECKED)

format: $(VENV)/.dev  ## repair style and formatting in place
	@$(BIN)/ruff check --quiet --fix-only $(CHECKED)
	@$(BIN)/ruff format --quiet $(CHECKED)

types: $(VENV)/.dev  ## mypy --strict and pyright
	@$(BIN)/mypy & checked=$$!; \
	$(BIN)/pyright --pythonpath $(BIN)/python || { wait $$checked; exit 1; }; wait $$checked

imports: $(VENV)/.dev  ## who may import whom
	@$(BIN)/lint-imports --no-logo

bench: $(VENV)/.bench  ## measurements against peers (BENCH_ARGS=...)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

kafka: $(VENV)/.run  ## Apache Kafka for this machine, from Maven Central, into .tools; needs Java 17
	@$(BIN)/python -m borough.engines.kafka .tools

jaeger: .tools/jaeger .tools/collector  ## Jaeger and an OpenTelemetry Collector, built from their Go modules into .tools; needs Go 1.25

rig: $(VENV)/.dev  ## a long trial (RIG_ARGS="crash --count 100 --seed 1")
	@$(BIN)/python -m rigs $(RIG_ARGS)

shots: $(VENV)/.dev  ## docs/images anew: the shop's console in a browser (Chromium, two minutes)
	@PYTHONPATH=.:examples $(BIN)/python -m tests.docs.shots

polyglot: build/polyglot/dist/main.js build/polyglot/push.secret  ## the shop's notifications in TypeScript (Node 20 or newer, npm)

wheel: $(UV) $(VENV).python  ## dist/*.whl and dist/*.tar.gz
	@rm -rf dist
	@$(UV) build --quiet --out-dir dist --python "$$(cat $(VENV).python)"
	@ls dist

lock: $(UV) $(VENV).python  ## resolve dependencies anew into uv.lock
	@$(UV) lock --python "$$(cat $(VENV).python)" --default-index https://pypi.org/simple
	@! grep -Eo 'https?://[^/"]+' uv.lock | sort -u | grep -Ev '^https://(pypi\.org|files\.pythonhosted\.org)$$'

clean:  ## remove everything that make made
	@rm -rf .tools .venv .venv-* .venv*.python dist build .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- observers of others, which the tests take where they have been built: modules by version and checksum ------

OBSERVERS := tests/servers/observers
MODULES   := $(OBSERVERS)/go.mod $(OBSERVERS)/go.sum
GO_BUILD   = command -v go >/dev/null || { echo "go is missing: install Go 1.25 or newer" >&2; exit 1; }; \
	echo "$(notdir $@), from Go modules -> $@" >&2; cd $(OBSERVERS) && go build -o $(CURDIR)/$@ -ldflags "-s -w"

.tools/jaeger: $(MODULES)
	@$(GO_BUILD) github.com/jaegertracing/jaeger/cmd/jaeger

.tools/collector: $(MODULES) $(OBSERVERS)/collector/main.go
	@$(GO_BUILD) ./collector

# --- the shop's service in another language: built beside its sources, which stay as they are ----------

POLYGLOT := examples/shop-polyglot/notifications

build/polyglot/.packages: $(POLYGLOT)/package.json $(POLYGLOT)/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer" >&2; exit 1; }
	@if [ -e $@ ] && cmp -s $(POLYGLOT)/package-lock.json build/polyglot/package-lock.json; then touch $@; exit 0; fi; \
	rm -rf build/polyglot; mkdir -p build/polyglot; cp $^ build/polyglot; \
	(cd build/polyglot && npm ci --no-audit --no-fund --loglevel=error >&2); touch $@

build/polyglot/push.secret: | build/polyglot/.packages
	@(umask 077; node -p '"whsec_" + crypto.randomBytes(32).toString("base64")' > $@)

build/polyglot/dist/main.js: build/polyglot/.packages $(wildcard $(POLYGLOT)/src/*.ts $(POLYGLOT)/*.json)
	@cd build/polyglot && rm -rf src dist
	@cp -R $(POLYGLOT)/src $(POLYGLOT)/tsconfig.json $(POLYGLOT)/contract.json build/polyglot
	@cd build/polyglot && node_modules/.bin/tsc

# --- from a bare machine to a locked environment; each step leaves a file and is done once -----------

$(VENV)/.run: $(UV) $(VENV).python pyproject.toml uv.lock
	@$(SYNC) --no-dev
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(SYNC)
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	@$(SYNC) --group bench
	@touch $@

# What tests run in Node, where there is one; the suite lists what it could not test without it.
.tools/node: tests/node/package.json tests/node/package-lock.json
	@command -v npm >/dev/null || exit 0; \
	echo "packages for Node -> $@" >&2; \
	rm -rf $@ $@.new; mkdir -p $@.new; cp $^ $@.new; \
	if (cd $@.new && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2); then \
		mv $@.new $@; touch $@; \
	else \
		echo "they cannot be had now; what needs them is left out" >&2; rm -rf $@.new; \
	fi

# The interpreter by its full path: a version manager's shim may exist and yet not run.
$(VENV).python: $(if $(PYTHON),asked-for)
	@for name in $(or $(PYTHON),python3.11 python3.12 python3.13 python3); do \
		found=$$("$$name" -c 'import sys; sys.version_info >= (3, 11) and print(sys.executable)' \
			2>/dev/null) || continue; \
		[ -n "$$found" ] || continue; \
		[ "$$found" = "$$(cat $@ 2>/dev/null)" ] || echo "$$found" > $@; \
		exit 0; \
	done; \
	echo "Python 3.11 or newer was not found$(if $(PYTHON), at $(PYTHON)). Install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
	exit 1

$(TOOLS)/bin/uv: | $(VENV).python
	@echo "uv $(UV_VERSION) -> $(TOOLS)" >&2
	@python=$$(cat $(VENV).python); rm -rf $(TOOLS); \
	if "$$python" -m pip --version >/dev/null 2>&1; then \
		pip="$$python -m pip"; where="--target $(TOOLS)"; \
	elif "$$python" -m venv $(TOOLS) >/dev/null 2>&1; then \
		pip="$(TOOLS)/bin/python -m pip"; where=; \
	else \
		echo "$$python has neither pip nor venv. On Debian: apt-get install python3-venv" >&2; exit 1; \
	fi; \
	PIP_ROOT_USER_ACTION=ignore $$pip install --quiet --disable-pip-version-check $$where uv==$(UV_VERSION)
