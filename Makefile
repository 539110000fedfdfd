# serve: everything on this machine.  test: all tests.  check: format, lint, types, imports.  load: benchmarks.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCAL  := .local
PINS   := service/requirements
PORT   ?= 8080

# An environment is good for as long as the pins stand unchanged. pip may not choose for itself: every version is
# pinned, and what vLLM names but a CPU worker must not have is left out (see $(PINS)/unwanted.txt).
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --no-deps

# Routers of others, to measure against: each in an environment of its own.
PEERS  := vllm-router==0.1.17 smg==1.13.0 litellm[proxy]==1.106.2

.PHONY: serve test check format proto load load-smoke cost peers pins clean help

help:            ## Say what there is to make.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 16

serve: $(VENV)/.worker $(LOCAL)/sarlens-nano $(LOCAL)/scenes  ## Gateway, CPU worker and S3 server on this machine.
	@$(BIN)/sarlens local --model $(LOCAL)/sarlens-nano --scenes $(LOCAL)/scenes --state $(LOCAL) --port $(PORT)

test: $(VENV)/.dev  ## Install what tests need, and run them all.
	@$(BIN)/python -m pytest $(PYTEST)

check: $(VENV)/.dev  ## Format, lint, strict types, import contract.
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(VENV)/.dev  ## Put the code in order.
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

proto: $(VENV)/.dev  ## Make the gRPC code anew from service/sarlens/v1/sar.proto.
	@cd service && ../$(BIN)/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. sarlens/v1/sar.proto

load: $(VENV)/.dev  ## Two minutes of locust against real parts on this machine; the report goes to load/.
	@$(BIN)/python loadtests/load.py

load-smoke: $(VENV)/.dev  ## Twenty seconds of the same.
	@$(BIN)/python loadtests/load.py --seconds 20 --users 8

cost: $(VENV)/.dev  ## Print what a request costs on this machine.
	@$(BIN)/python loadtests/cpu_per_request.py

peers:           ## Install the routers that the load tests compare with.
	@for pin in $(PEERS); do \
		name=$$(echo $$pin | sed 's/[=[].*//'); \
		test -x $(LOCAL)/peers/$$name/bin/$$name || { echo "Installing $$pin."; \
		$(PYTHON) -m venv $(LOCAL)/peers/$$name && $(LOCAL)/peers/$$name/bin/pip install --quiet "$$pin"; }; \
	done

pins:            ## Make the pinned requirement files anew (needs uv).
	@$(PINS)/pin.sh

clean:           ## Remove what was installed and made.
	rm -rf $(VENV) $(LOCAL)

$(VENV)/.worker: $(PINS)/worker.txt pyproject.toml
	@echo "Installing Sarlens and a CPU build of vLLM into $(VENV); this takes some minutes the first time."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sarlens needs Python 3.11 or later; name one with PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) --progress-bar on --requirement $(PINS)/worker.txt
	@$(INSTALL) --quiet --editable .
	@$(BIN)/python -c 'import torch' || { echo "This torch does not load: give pip an index of CPU builds (PIP_EXTRA_INDEX_URL, see docs/install.md)."; exit 1; }
	@touch $@

$(VENV)/.dev: $(VENV)/.worker $(PINS)/finetune.txt $(PINS)/dev.txt
	@$(INSTALL) --quiet --requirement $(PINS)/finetune.txt --requirement $(PINS)/dev.txt
	@touch $@

$(LOCAL)/sarlens-nano: $(wildcard service/sarbench/nano/*) | $(VENV)/.worker
	@echo "Making the model sarlens-nano."
	@$(BIN)/sarbench nano --out $@ && touch $@

$(LOCAL)/scenes: | $(VENV)/.worker
	@echo "Simulating sample scenes."
	@$(BIN)/sarbench scenes --out $@
