# Every target sets up what it needs: on a fresh clone with Python 3.11 or newer `make demo` or `make test` is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

BENCH_READY := $(VENV)/.ready-bench

# Test processes at once, more than cores because many tests wait; 0 runs all tests in one.
TEST_JOBS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')

# What make evidence is to reach (short, long or full), and its other options, such as --minutes 30 or --part chaos.
SIZE ?= full
EVIDENCE ?=

.PHONY: demo test test-slow test-compose up lint bench bench-guard evidence clean

demo: $(READY)
	$(BIN)/lockmanager demo

# Hundreds of nodes are started, so compiled modules are kept whatever the environment says, and nobody reads the
# machine's certificates: no test leaves the machine.
PYTEST := SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/dev/null $(BIN)/python -m pytest -q

test test-slow: export PYTHONDONTWRITEBYTECODE =
test: $(READY)
	$(PYTEST) -m "not compose and not slow" -n $(TEST_JOBS) --dist loadfile

# Real nodes that start, stop, die and lose their disks, and the long versions of what make test does in short.
test-slow: $(READY)
	$(PYTEST) -m slow -n 2 --dist loadfile

# Builds the image and runs the cluster of docker-compose.yml; skipped where no Docker engine answers. Chaos comes first:
# it wants the ports that the cluster then keeps to the end.
test-compose: $(READY)
	$(BIN)/python -m pytest -q -rs -m compose tests/chaos tests/e2e

up: $(READY)
	$(BIN)/lockmanager up

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Measures this lock and its peers side by side, in about ten minutes; make bench BENCH=--quick looks in about one.
bench: $(BENCH_READY)
	$(BIN)/python -m tests.benchmarks $(BENCH)

# Fails when a cycle costs far more than it should: ratios within one short run.
bench-guard: $(BENCH_READY)
	$(BIN)/python -m tests.benchmarks.guard

# Simulation, models, planted bugs, chaos and the rest until the figures of SIZE are reached; may be stopped, and goes on
# where it ended. Writes tests/EVIDENCE.md and tests/EVIDENCE.json, and fails on what is violated or not reached.
evidence: export PYTHONDONTWRITEBYTECODE =
evidence: $(READY)
	$(BIN)/python -m tests.evidence run --size $(SIZE) $(EVIDENCE)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "lockmanager needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check mysqlclient 2>/dev/null || echo "MariaDB is left out: its client needs gcc, pkg-config and libmariadb-dev"
	@touch $(BENCH_READY)
