# `make demo` and `make test` set up all they need; everything lands in .venv and .cache, which git ignores.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .cache/bin
MINIO := v0.0.0-20260212201848-7aac2a2c5b7c
VERSITYGW := v1.8.0
REQUIREMENTS ?= requirements/dev.txt
DEMO ?= demo
IMAGES ?= flow cpu gpu
IMAGES_BY ?= docker
IMAGES_OUT ?= .cache/images
CORES := $(shell nproc)

.PHONY: help demo pictures science test lint unit bench tools images requirements clean

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

science: $(VENV)/.installed  ## three seeds, growing lengths; writes docs/science.md (90 minutes on two cores)
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

images: $(VENV)/.installed  ## the three container images: IMAGES_BY=docker, or IMAGES_BY=debian without any image registry
	for kind in $(IMAGES); do \
	  if [ "$(IMAGES_BY)" = debian ]; then images/build-rootfs.sh $$kind $(IMAGES_OUT) || exit 1; \
	  else docker build -f images/Dockerfile --target $$kind --build-arg REVISION=$$(git rev-parse HEAD) -t lenscore-$$kind:0.1.0 . || exit 1; fi; \
	done

requirements: $(VENV)/.installed  ## compile the requirements files anew
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra faiss-cpu --extra sky --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra faiss-cpu --extra sky pyproject.toml -o requirements/cpu.txt
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra faiss-gpu --extra sky pyproject.toml -o requirements/gpu.txt
	$(BIN)/uv pip compile -q --universal --no-header --no-emit-index-url --extra worker -c requirements/cpu.txt --override requirements/without-torch.txt --no-emit-package torch --no-emit-package torchvision pyproject.toml -o requirements/flow.txt

clean:  ## remove the environment and what was built
	rm -rf $(VENV) .cache demo

.PHONY: cluster-tools test-cluster
CLUSTER := .cache/cluster
CLUSTER_TESTS ?= tests/cluster

cluster-tools:  ## Kubernetes from source, built once (10 minutes on two quiet cores; Go, libseccomp-dev)
	tests/cluster/build.sh $(CLUSTER)

test-cluster: $(VENV)/.installed $(TOOLS)/versitygw  ## tests on a real cluster that is made here, or on KUBECONFIG's
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.cluster $(BIN)/pytest $(CLUSTER_TESTS)
