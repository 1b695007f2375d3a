# make run | test | test-fast | test-all | check | bench | mutants | collector | docs | dashboards | pictures | lock | sbom | licences; each installs what it needs, given Python 3.11 or newer.
VENV ?= .venv
PYTHON ?= python3
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin
# Without bytecode, each process that tests start compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-fast test-all check bench mutants collector docs dashboards pictures lock sbom licences
define CREATE
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is required; select one with make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot create a virtual environment in $(VENV); on Debian: apt-get install python3-venv" >&2; exit 1; }
endef

$(STAMP): pyproject.toml requirements-dev.lock
	$(CREATE)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# What runs, without the tools of developers; pip builds the package with a copy of hatchling that it removes.
$(VENV)/.runs: pyproject.toml requirements.lock
	$(CREATE)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

# Without a token, runs on the demo fleet. Where developers' tools are installed, they stay up to date.
run: $(if $(wildcard $(STAMP)),$(STAMP),$(VENV)/.runs)
	@if [ -n "$$DATAROBOT_API_TOKEN$$DATAROBOT_API_TOKEN_FILE" ]; then exec $(BIN)/workload-exporter run $(ARGS); \
	else echo "No DATAROBOT_API_TOKEN: running on the demo fleet." >&2; exec $(BIN)/workload-exporter demo $(ARGS); fi

# Tests that compute run in one process per core. All others also wait, for servers or timeouts: they run in three more.
# tests/conftest.py defines which tests share a process.
COMPUTING := -m pytest --numprocesses=auto
TESTS = -m pytest --numprocesses=$(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 3)')
PURE := $(addprefix tests/,alerting api diagnosis fleet metrics recording tracing test_masking.py)
FAST := not (real or long or exhaustive)
# All modules with other tests: to collect those of all modules takes each process ten seconds.
SLOW_MODULES = $(filter-out $(PURE:%=%/%),$(sort $(shell grep -rlE 'mark\.(real|long|exhaustive)' tests --include='test_*.py')))

# Fast tests run first; only `test-all` tries 100 examples of each law. Coverage is measured only for the pure folders
# with their own tests, because measuring takes time.
test: SLOW := (real or long) and not exhaustive
test-all: SLOW := real or long or exhaustive
test test-fast: LAWS := --hypothesis-profile=fast
test test-all: $(STAMP)
	$(BIN)/coverage erase
	$(BIN)/coverage run $(COMPUTING) $(LAWS) $(PURE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered
	$(BIN)/python $(TESTS) $(LAWS) $(PURE:%=--ignore=%) -m "$(FAST)"
	@echo 'pytest -m "$(SLOW)"'; $(BIN)/python $(TESTS) -m "$(SLOW)" $(SLOW_MODULES)

test-fast: $(STAMP)
	$(BIN)/python $(TESTS) $(LAWS) -m "$(FAST)"

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Runs the mutants of alert rules that are not recorded as detected, and records them, so that `make test` can skip them.
mutants: $(STAMP)
	RECORD_MUTANTS=1 $(BIN)/python -m pytest -m "not exhaustive" tests/alerts/test_mutants.py

# An OpenTelemetry Collector for tests/e2e/test_collector.py, which is skipped without it. Needs Go, and takes minutes.
collector: $(STAMP)
	go build -C tests/collector -ldflags='-s -w' -o "$$($(BIN)/python -m tests.collector)" .

docs: $(STAMP)
	$(BIN)/workload-exporter docs --write .

dashboards: $(STAMP)
	$(BIN)/python -m dashboards

# Needs node, npm, chromium and prometheus. The first run downloads about 400 MB of npm packages.
pictures: $(STAMP)
	$(BIN)/python -m dashboards.pictures
	$(BIN)/python -m dashboards.pictures.pages

# `requirements.lock` has all extras that run, and is what `make run` and the image install.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra grpc --extra notify --extra postgres
lock:
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --extra dev pyproject.toml requirements-build.in -o requirements-dev.lock

# What runs, with all extras, in an environment of its own: from it come the software bill of materials and the licences.
dist/environment: pyproject.toml requirements.lock
	rm -rf $@
	$(PYTHON) -m venv --without-pip $@
	uv pip install --quiet --python $@/bin/python --require-hashes -r requirements.lock
	uv pip install --quiet --python $@/bin/python --no-deps .

sbom: dist/environment
	uv tool run --quiet --from cyclonedx-bom==7.* cyclonedx-py environment $</bin/python --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json
	@echo dist/sbom.cdx.json

licences: dist/environment
	uv tool run --quiet --from pip-licenses==5.* pip-licenses --python $</bin/python --format=markdown --order=license --with-urls --output-file=dist/licences.md
