# `make help` lists the targets. Needs Python 3.11 to 3.13, git and make; everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
UV := $(BIN)/uv pip

MEMBERS := protos chassis mail gateway services/alerts services/auth services/brokers services/market services/portfolio suite
DEPLOYABLES := gateway services/alerts services/auth services/brokers services/market services/portfolio
MANIFESTS := $(MEMBERS:%=%/pyproject.toml)
CONTRACTS := $(shell find protos/bourse -name '*.proto') protos/build.py
CODE := protos/build.py chassis mail gateway services suite tests bench scripts
# What deptry cannot learn from an editable install.
OWN_MODULES := bourse-chassis=chassis,bourse-mail=mail,bourse-protos=bourse

.DEFAULT_GOAL := help
.PHONY: help run sandbox test check check-page check-mail check-deploy bench demo long format protos examples openapi \
	lock clean contracts-compatible images compose-env compose-smoke compose-contract compose-faults compose-restore

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(STAMPS)/members ## serve everything at http://127.0.0.1:8000 (GATEWAY_PORT, RUN_DIR); Ctrl-C ends it
	@exec $(BIN)/python -m suite

sandbox: $(STAMPS)/members ## play both brokers with made-up accounts and print how to sync them (SANDBOX_PORT)
	@exec $(BIN)/python scripts/sandbox.py

# What no member can test alone runs whole suites, which have the machine to themselves and are not slowed by measuring;
# these do not.
LIGHT_TESTS := $(addprefix tests/,architecture deploy harness upstreams)
test: $(STAMPS)/dev ## pass all tests: SQLite, then PostgreSQL, Redis and a separate NATS
	$(BIN)/pytest --cov --cov-report= --numprocesses 3 --dist loadfile chassis mail gateway services suite $(LIGHT_TESTS)
	$(BIN)/pytest tests $(LIGHT_TESTS:%=--ignore %)
	@$(BIN)/coverage report --fail-under=90
	@$(BIN)/coverage report --fail-under=100 --include='*/domain/*'

check: $(STAMPS)/dev contracts-compatible ## lint, types, architecture, dependencies, contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-cache
	@for member in chassis mail $(DEPLOYABLES) suite; do echo "deptry $$member"; (cd $$member && \
		$(CURDIR)/$(BIN)/deptry src --package-module-name-map $(OWN_MODULES)) || exit 1; done
	$(BIN)/buf lint protos

# Against what was released, or, before the first release, against the commit before; CONTRACTS_AGAINST= skips it.
CONTRACTS_AGAINST ?= $(shell git describe --tags --abbrev=0 2>/dev/null || git rev-parse --verify --quiet HEAD~1)
contracts-compatible: $(STAMPS)/dev
	@if [ -n "$(CONTRACTS_AGAINST)" ]; then \
		echo "buf breaking protos, against $(CONTRACTS_AGAINST)"; \
		$(BIN)/buf breaking protos --against '.git#ref=$(CONTRACTS_AGAINST),subdir=protos'; \
	else echo "buf breaking: SKIPPED, there is no earlier commit to compare with"; fi

check-page: $(STAMPS)/dev ## look at the documentation page in headless Chromium (SCREENSHOTS=folder keeps pictures)
	@$(BIN)/python scripts/check_page.py

check-mail: $(STAMPS)/dev ## look at the mails in headless Chromium, at phone width too (SCREENSHOTS=folder keeps pictures)
	@$(BIN)/python scripts/check_mail.py

images: ## build the image of each deployable as bourse/<name> (TAG); skipped without an engine
	@docker info >/dev/null 2>&1 || { echo "images: SKIPPED, no Docker engine answers"; exit 0; }; \
	for folder in $(DEPLOYABLES); do name=bourse/$$(basename $$folder):$(or $(TAG),latest); echo "docker build $$name"; \
		docker build --quiet --file $$folder/Dockerfile --tag $$name . || exit 1; done; \
	docker image ls --filter reference='bourse/*' --format '{{.Repository}}:{{.Tag}} {{.Size}}'

compose-env: $(STAMPS)/venv ## give .env the passwords that docker-compose.yml asks for, where it lacks them
	@$(BIN)/python scripts/compose_env.py

compose-smoke: $(STAMPS)/venv ## bring docker-compose.yml up, use it, take it down; skipped without an engine
	@$(BIN)/python scripts/compose_smoke.py

compose-contract: $(STAMPS)/dev ## pass tests/contract on the composed containers; skipped without an engine
	@$(BIN)/python scripts/compose_contract.py $(ARGUMENTS)

compose-faults: $(STAMPS)/dev ## kill, pause and cut off each composed container under load; skipped without an engine
	@$(BIN)/python scripts/compose_faults.py $(ARGUMENTS)

compose-restore: $(STAMPS)/dev ## have the handbook's commands save and restore composed containers; skipped without an engine
	@$(BIN)/python scripts/compose_restore.py

check-deploy: $(STAMPS)/dev ## check what deploys with the tools that are there; each absent one is a printed skip
	@$(BIN)/python scripts/check_deploy.py
	$(BIN)/pytest tests/deploy

bench: $(STAMPS)/dev ## measure against bare limits, each as a ratio in one run
	$(BIN)/python bench/run.py

demo: $(STAMPS)/dev ## replay thirteen years of five US stocks with alerts that fire, in the terminal
	@exec $(BIN)/python scripts/demo.py

long: $(STAMPS)/dev ## the tests that take longer than the CI budget allows
	$(BIN)/pytest -m long $(TESTS)

format: $(STAMPS)/dev ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: $(STAMPS)/run ## compile the contracts again
	$(UV) install --python $(BIN)/python --no-deps --no-build-isolation --reinstall -e protos

examples: $(STAMPS)/dev ## record the documentation's examples that are missing or stale (ALL=1: all of them)
	$(BIN)/python scripts/record_examples.py

openapi: $(STAMPS)/members ## write the agreed description of the API anew; read its difference
	$(BIN)/python -m gateway openapi > tests/contract/openapi.json.new
	mv tests/contract/openapi.json.new tests/contract/openapi.json

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-package bourse-protos --no-emit-package bourse-chassis \
	--no-emit-package bourse-mail $(if $(UPGRADE),--upgrade)
lock: $(STAMPS)/venv ## resolve the pins again (UPGRADE=1 takes the newest)
	$(COMPILE) $(MANIFESTS) --group pyproject.toml:build --group pyproject.toml:dev -o requirements/dev.txt
	$(COMPILE) $(MANIFESTS) --group pyproject.toml:build -c requirements/dev.txt -o requirements/run.txt
	$(COMPILE) --group pyproject.toml:build -c requirements/dev.txt -o requirements/build.txt
	for member in $(DEPLOYABLES); do \
		$(COMPILE) $$member/pyproject.toml -c requirements/dev.txt -o $$member/requirements.txt || exit 1; done

clean: ## remove the environment, caches and generated code; RUN_DIR stays
	rm -rf $(VENV) protos/generated .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11 to 3.13 \
	is needed, $(PYTHON) is %d.%d: try `make run PYTHON=python3.13`" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv requirements/run.txt
	$(UV) install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements/run.txt
	@touch $@

$(STAMPS)/members: $(STAMPS)/run $(MANIFESTS) $(CONTRACTS)
	$(UV) install --python $(BIN)/python --quiet --no-deps --no-build-isolation --reinstall $(MEMBERS:%=-e %)
	@touch $@

$(STAMPS)/dev: $(STAMPS)/members requirements/dev.txt
	$(UV) install --python $(BIN)/python --quiet --require-hashes -r requirements/dev.txt
	@touch $@
