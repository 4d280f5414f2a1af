# With only python3, pip, make and git. Everything that is made here goes into .venv.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/cache/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/$(VENV)/cache/hypothesis
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml)
# Their tests are checked one suite at a time: each has a conftest.py of the same name.
SUITES := $(wildcard plugins/*/) examples/third-party examples/bearer-gateway
EDITABLE := $(patsubst %/pyproject.toml,-e ./%,$(wildcard plugins/*/pyproject.toml))

.PHONY: demo test test-install test-cluster lint bench stress release release-check clean

demo: $(VENV)/.installed
	$(BIN)/batchcompute demo

# Most tests wait for processes that they start, so six run at a time on two processors as well.
test: $(VENV)/.dev
	$(BIN)/python -m pytest --dist loadgroup -n $$($(BIN)/python -c "import os; print(max(6, os.cpu_count() or 1))")

# What users do on a fresh machine, by the READMEs of two examples; needs the package index. `make test` runs the
# same examples from the checkout. And npm's ali-oss drives the OSS endpoint, where node is; and a real S3 store (70 MB with its
# client) is behind buckets elsewhere, in tests that `make test` skips without it.
test-install: $(VENV)/.dev
	$(PYTHON) tests/install/run.py
	$(BIN)/python tests/install/ali_oss.py
	$(BIN)/python -m pip install --quiet --group buckets
	$(BIN)/python -m pytest -q -n 2 $$(grep -rlE "Elsewhere|Weed" --include="test_*.py" plugins/batchcompute-local/tests)

# Slurm for real, one node, where Debian's slurmctld, slurmd and slurm-client are installed; else it says what is missing.
test-cluster: $(VENV)/.dev
	$(BIN)/python -m pytest -q plugins/batchcompute-dask/tests/test_slurm.py

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for suite in $(SUITES); do (cd $$suite && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml tests) || exit 1; done

# The whole table, or one row: `make bench ROW=list_jobs`. The figures are left in .venv/bench.json too.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ROW) --json $(VENV)/bench.json

# Random histories against a model, the service killed a hundred times under load, a hundred rounds of faults, garbage on every
# route, every state file damaged in every way, an upgrade (which needs the package index), and a cluster whose parts are killed
# and cut off: docs/reliability.md and docs/security.md have the figures.
stress: $(VENV)/.dev
	STATEFUL_EXAMPLES=600 STATEFUL_DAEMON_STEPS=2000 $(BIN)/python -m pytest -q plugins/batchcompute-local/tests/test_stateful*.py \
		plugins/batchcompute-local/tests/test_machine_faults.py
	$(BIN)/python plugins/batchcompute-local/stress/crash.py
	$(BIN)/python plugins/batchcompute-local/stress/faults.py
	$(BIN)/python plugins/batchcompute-local/stress/fuzz.py
	$(BIN)/python plugins/batchcompute-local/stress/damage.py
	$(BIN)/python plugins/batchcompute-local/stress/objects.py
	$(BIN)/python plugins/batchcompute-local/stress/leftovers.py
	$(BIN)/python plugins/batchcompute-local/stress/upgrade.py
	$(BIN)/python plugins/batchcompute-dask/stress/cluster.py

# Wheels and sdists of all packages, built and checked in a fresh environment; CONTRIBUTING.md says how a release is made.
# `release` wants a clean tree with its tag and leaves them in dist/; `release-check` takes the tree as it is and leaves nothing.
release: $(VENV)/.release
	$(BIN)/python -m tools.release

release-check: $(VENV)/.release
	$(BIN)/python -m tools.release --check

clean:
	rm -rf $(VENV) dist

# bytecode.pth: a service has nothing of the environment of its starter, so it would compile its sources at each start.
# Some systems ship venv without pip; the pip that is there can then install one (`--python`, pip 22.3).
$(VENV)/.python:
	$(PYTHON) -m venv $(VENV) || ( $(PYTHON) -m venv --without-pip --clear $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip )
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	echo 'import sys; sys.pycache_prefix = sys.pycache_prefix or sys.prefix + "/cache/pycache"' \
		> "$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/bytecode.pth"
	touch $@

$(VENV)/.installed: $(VENV)/.python $(PROJECTS)
	$(BIN)/python -m pip install --quiet -e . -e ./plugins/batchcompute-local
	touch $@

$(VENV)/.release: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --group release
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e . $(EDITABLE) --group dev
	touch $@
