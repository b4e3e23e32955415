# `make run` and `make test` are all a fresh machine needs: they set up what is missing and then do it.
# Variables: PYTHON (an interpreter, 3.11 or newer), and every GATEWAY_* setting for `make run`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export ORT_DISABLE_TELEMETRY := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: help run demo-learning test test-long check test-faults test-fleet lint bench soak load models lock check-models sbom \
	licences audit programs environments kserve ops audit-environment clean

help:  ## show what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.core  ## serve the shipped models on 127.0.0.1:8080
	@exec $(BIN)/gateway serve

demo-learning: $(VENV)/.dev  ## watch the loop close: the world changes, labels come back, what learned of them is promoted
	@$(BIN)/gateway demo learning

test: check  ## everything that must hold: style, types, tests, coverage of the core
	@scripts/test

test-long: check  ## the same tests with long runs
	@scripts/test -m "long or not long"

test-faults: $(VENV)/.dev programs  ## every promise under its real fault, with a table; FAULTS="--fault-seconds 60"
	@$(BIN)/pytest -p no:cacheprovider -q -m fault tests/faults $(FAULTS)

check:  # style and types, while what the tests need beside them is installed
	@$(MAKE) --no-print-directory -j4 lint programs environments

lint: $(VENV)/.dev  ## style and types only
	@scripts/check

bench: $(VENV)/.dev programs  ## every promise about speed in one run; BENCH="--mlserver PYTHON --pytriton PYTHON"
	@$(BIN)/python -m load_tests.bench $(BENCH)

soak: $(VENV)/.dev programs  ## mixed traffic beside a rota of faults; MINUTES=30
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30)

test-fleet: $(VENV)/.dev programs  ## three gateways on hosts of their own behind a balancer, with cables that are pulled (root)
	@$(BIN)/pytest -p no:cacheprovider -q -m long tests/fleet

load: $(VENV)/.dev  ## locust against a gateway that runs on :8080
	@$(BIN)/locust -f load_tests/locustfile.py --headless -u 50 -r 50 -t 20s --host http://127.0.0.1:8080

models: $(VENV)/.dev  ## train the shipped models again
	@$(BIN)/python -m tools.train_models

check-models: $(VENV)/.dev  ## train them elsewhere and compare with the shipped ones
	@$(BIN)/python -m tools.train_models --check

lock:  ## resolve the dependencies again (needs uv)
	@scripts/lock

sbom: $(VENV)/.dev  ## CycloneDX bills of materials of a default install, the image and every extra, in build/
	@$(BIN)/python -m tools.sbom

licences: $(VENV)/.dev  ## write docs/licences.md again, from what is installed
	@$(BIN)/python -m tools.licences

audit: audit-environment  ## known weaknesses of what is locked (needs the network)
	@scripts/audit

programs: $(VENV)/bin/pip  # what some tests need beside Python: installed where that is possible, else those tests say why they skip
	@scripts/programs

environments: kserve ops  # what tests need of Python beside ours, each in an environment of its own

kserve ops: $(VENV)/bin/pip
	@PYTHON="$(PYTHON)" scripts/environment $@

audit-environment:
	@PYTHON="$(PYTHON)" scripts/environment audit

clean:  ## remove what was set up and what was run
	rm -rf $(VENV) .venv-kserve .venv-ops .venv-audit build .gateway .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

# First of all, so that what follows may run side by side: to make it may take apt, which nobody else may use meanwhile.
$(VENV)/bin/pip:
	@PYTHON="$(PYTHON)" scripts/venv

$(VENV)/.core: requirements.lock pyproject.toml | $(VENV)/bin/pip
	@PYTHON="$(PYTHON)" scripts/install requirements.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/pip
	@PYTHON="$(PYTHON)" scripts/install requirements-dev.lock
	@touch $@ $(VENV)/.core
