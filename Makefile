# The development environment on this machine. `make help` lists the targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCAL  ?= .local
PINS   := service/requirements
PORT   ?= 8080

# pip can't resolve versions itself: every version is pinned, and packages that vLLM names but a CPU worker can't have
# are left out (see $(PINS)/unwanted.txt). An environment is reinstalled when the pins change.
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --no-deps

# Routers to compare with: each in its own environment.
PEERS  := vllm-router==0.1.17 smg==1.13.0 litellm[proxy]==1.106.2

CONSOLE := service/sarlens/api/console/web

# Tests run in two processes. tests/support/scheduler.py groups them.
# The processes, and the commands that tests start, share compiled modules.
WORKERS ?= 2
PARALLEL = --numprocesses $(WORKERS) --no-loadscope-reorder
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve test test-fast check format docs docs-serve mutants proto console screenshots load load-smoke bench bench-baseline cost peers wheel sbom release-notes pins clean

help:            ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

serve: $(VENV)/.worker $(LOCAL)/sarlens-nano $(LOCAL)/scenes  ## Run gateway, CPU worker and S3 server on this machine; PORT=8080.
	@$(BIN)/sarlens local --model $(LOCAL)/sarlens-nano --scenes $(LOCAL)/scenes --state $(LOCAL) --port $(PORT)

test: $(VENV)/.dev  ## Run all tests, against real vLLM, S3 and Prometheus. The fast ones measure coverage.
	@$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered $(PYTEST)

test-fast: $(VENV)/.dev  ## Run the tests that need no vLLM, S3, Prometheus or browser.
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow and not vllm and not s3 and not prometheus and not browser" $(PYTEST)

check: $(VENV)/.dev  ## Check format, lint, types, import layers and English.
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python .ci/prose.py

format: $(VENV)/.dev  ## Format the code, and fix what the linter can fix.
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

docs: $(VENV)/.dev  ## Build the documentation site into site/, with links and anchors checked.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build && echo "Open site/index.html."

docs-serve: $(VENV)/.dev  ## Serve the documentation on port 8088, and rebuild it on each change.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --no-strict --dev-addr 127.0.0.1:8088

mutants: $(VENV)/.dev  ## Run mutation tests; MODULES="rate_limit pool" selects modules.
	@$(BIN)/python .ci/mutants.py $(MODULES)

proto: $(VENV)/.dev  ## Generate the gRPC code from service/sarlens/api/grpc/v1/sar.proto.
	@cd service && ../$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. sarlens/api/grpc/v1/sar.proto

load: $(VENV)/.dev  ## Run a two-minute Locust load test against a local stack; the report is in load/.
	@$(BIN)/python loadtests/load.py

load-smoke: $(VENV)/.dev  ## Run the load test for 20 seconds.
	@$(BIN)/python loadtests/load.py --seconds 20 --users 8

bench: $(VENV)/.dev  ## Compare the CPU time of the hot paths with the committed baseline.
	@$(BIN)/python loadtests/benchmark.py

bench-baseline: $(VENV)/.dev  ## Measure the baseline of `make bench` again.
	@$(BIN)/python loadtests/benchmark.py --write

cost: $(VENV)/.dev  ## Measure the CPU time of a request on this machine.
	@$(BIN)/python loadtests/cpu_per_request.py

peers:           ## Install the routers that the load tests compare with Sarlens.
	@for pin in $(PEERS); do \
		name=$$(echo $$pin | sed 's/[=[].*//'); \
		test -x $(LOCAL)/peers/$$name/bin/$$name || { echo "Installing $$pin."; \
		$(PYTHON) -m venv $(LOCAL)/peers/$$name && $(LOCAL)/peers/$$name/bin/pip install --quiet "$$pin"; }; \
	done

console:         ## Build the files of the map console from their sources (needs Node.js 20 or later).
	@cd $(CONSOLE) && npm ci --no-audit --no-fund --ignore-scripts && npm run --silent build

screenshots: $(VENV)/.dev  ## Take the screenshots of the console's guide (needs Debian's Chromium).
	@SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/console/test_real_model.py

wheel: $(VENV)/.dev  ## Build the wheel, with native kernels, and the source distribution into dist/.
	@$(BIN)/python -m build --no-isolation --outdir dist .

sbom: $(VENV)/.dev  ## Write the software bill of materials of the gateway (CycloneDX) to dist/sarlens.cdx.json.
	@mkdir -p dist && $(BIN)/cyclonedx-py requirements $(PINS)/gateway.txt --pyproject pyproject.toml --mc-type application \
		--output-reproducible --validate --output-format JSON --output-file dist/sarlens.cdx.json

release-notes: $(VENV)/.dev  ## Write release notes from the commits since the last tag; NOTES=--latest: of the last tag.
	@$(BIN)/git-cliff --config .ci/release-notes.toml $(or $(NOTES),--unreleased)

pins:            ## Upgrade the pinned requirement files (needs uv).
	@$(PINS)/pin.sh

clean:           ## Remove the environment and all state of the local stack.
	rm -rf $(VENV) $(LOCAL)

$(VENV)/.worker: $(PINS)/worker.txt pyproject.toml
	@echo "Installing Sarlens and a CPU build of vLLM into $(VENV); this takes some minutes the first time."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sarlens needs Python 3.11 or later; name one with PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --progress-bar on --requirement $(PINS)/worker.txt
	@$(INSTALL) --quiet --editable .
	@$(BIN)/python -c 'import torch' || { echo "torch doesn't load. Give pip an index with CPU builds in PIP_EXTRA_INDEX_URL (see docs/how-to/install.md)."; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.worker $(PINS)/finetune.txt $(PINS)/dev.txt
	@$(INSTALL) --quiet --requirement $(PINS)/finetune.txt --requirement $(PINS)/dev.txt
	@touch $@

$(LOCAL)/sarlens-nano: $(wildcard service/sarbench/nano/*) | $(VENV)/.worker
	@echo "Writing the model sarlens-nano."
	@$(BIN)/sarbench nano --out $@ && touch $@

$(LOCAL)/scenes: | $(VENV)/.worker
	@echo "Simulating sample scenes."
	@$(BIN)/sarbench scenes --out $@
