# `make demo` and `make test` set up all they need; everything lands in .venv and .cache, which git ignores.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .cache/bin
MINIO := v0.0.0-20260212201848-7aac2a2c5b7c
VERSITYGW := v1.8.0
REQUIREMENTS ?= requirements/dev.txt
DEMO ?= demo
CORES := $(shell nproc)

.PHONY: help demo pictures science test lint unit bench tools requirements clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.installed: $(REQUIREMENTS) pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; set PYTHON=python3.11"'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r $(REQUIREMENTS)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps -e .
	touch $@

demo: $(VENV)/.installed  ## the whole story on a simulated sky, about ten minutes on two cores
	$(BIN)/lenscore demo --out $(DEMO)

pictures: demo  ## the README's pictures, from the demo
	$(BIN)/python -m benchmarks.pictures $(DEMO)

science: $(VENV)/.installed  ## three seeds and growing sizes; writes docs/science.md (hours)
	$(BIN)/python -m benchmarks.science

test: lint unit  ## lint, types, import contracts, all tests; at most 20 minutes on two cores

lint: $(VENV)/.installed  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.installed tools  ## the tests alone
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(CORES) --dist loadfile --cov --cov-report=term

bench: $(VENV)/.installed  ## speed and memory, each a ratio in one run; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

tools: $(TOOLS)/versitygw $(TOOLS)/minio  ## real S3 servers for the tests, built once

$(TOOLS)/versitygw:
	GOBIN=$(abspath $(TOOLS)) go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)

$(TOOLS)/minio:
	GOBIN=$(abspath $(TOOLS)) go install github.com/minio/minio@$(MINIO)

requirements: $(VENV)/.installed  ## compile the requirements files anew
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra faiss-cpu --extra sky --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra faiss-cpu --extra sky pyproject.toml -o requirements/cpu.txt
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra faiss-gpu --extra sky pyproject.toml -o requirements/gpu.txt

clean:  ## remove the environment and what was built
	rm -rf $(VENV) .cache demo
