# `make train` and `make test` are all a new machine needs; both make the environment when it is missing.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RECIPE ?= curricula/household_cpu.yaml
# `make train SEED=1`: another seed than the recipe's, in a run folder of its own.
SEED   ?=
# Two processes on two cores: one thread each is faster than two that fight.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM = false
export HF_HUB_DISABLE_TELEMETRY = 1
# Threads that wait by spinning starve each other on busy cores.
export OMP_WAIT_POLICY = PASSIVE
# Needed to build the ALFWorld planner where cmake is 4 or newer.
export CMAKE_POLICY_VERSION_MINIMUM = 3.5

.PHONY: setup train test lint type bench clean check-tools

setup: check-tools
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -c constraints.txt -e ".[alfworld,search,serve,dev]"
	@touch $(BIN)/.skill0-ready
	@echo "Ready. 'make train' runs the main job, 'make test' the tests."

check-tools:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "skill0 needs Python 3.10 or newer; '$(PYTHON)' is older or missing. Try: make setup PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	@for tool in cmake make $${CXX:-g++} $${CC:-gcc}; do command -v $$tool >/dev/null || { \
	  echo "'$$tool' is missing: the ALFWorld engine is compiled on installation."; \
	  echo "On Debian or Ubuntu: apt-get install build-essential cmake python3-dev"; exit 1; }; done
	@printf '#include <Python.h>\nint main(void){return 0;}\n' | $${CC:-gcc} -fsyntax-only \
	  -I"$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')" -xc - 2>/dev/null || { \
	  echo "Python.h is missing: the ALFWorld engine is compiled on installation."; \
	  echo "On Debian or Ubuntu: apt-get install python3-dev"; exit 1; }

$(BIN)/.skill0-ready: setup.cfg constraints.txt
	$(MAKE) setup

train: $(BIN)/.skill0-ready
	OMP_NUM_THREADS=2 $(BIN)/skill0 train $(RECIPE) \
	  $(if $(SEED),--seed $(SEED) --output runs/$(basename $(notdir $(RECIPE)))-seed-$(SEED))

test: $(BIN)/.skill0-ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(BIN)/.skill0-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: $(BIN)/.skill0-ready
	$(BIN)/pyright

# What needs nothing but this repository. benchmarks/internalization.py plays for hours and
# benchmarks/official_games.py wants games: both say how in their first lines. All are run, whatever one finds;
# those that fail, or whose figures are not reached, are named at the end.
BENCHES := engine households procedure training reading legibility renderer figures anchors retrieval http search
.PHONY: $(addprefix bench-,$(BENCHES))

bench: $(BIN)/.skill0-ready
	@missed=; for name in $(BENCHES); do \
	  $(MAKE) --no-print-directory bench-$$name || missed="$$missed bench-$$name"; done; \
	test -z "$$missed" || { echo "Failed, or a figure is not reached:$$missed"; exit 1; }

bench-engine:
	$(BIN)/python benchmarks/alfworld_engine.py
bench-households:
	$(BIN)/python benchmarks/households.py
bench-procedure:
	$(BIN)/python benchmarks/households.py --kind procedure
bench-training:
	$(BIN)/python benchmarks/training.py shipped/household
bench-reading:
	$(BIN)/skill0 evaluate shipped/household --arms right,blank,wrong
bench-legibility:
	$(BIN)/python benchmarks/legibility.py
bench-renderer:
	$(BIN)/python benchmarks/renderer.py
bench-figures:
	$(BIN)/python benchmarks/training.py shipped/household --figures
bench-anchors:
	$(BIN)/python benchmarks/anchors.py
bench-retrieval:
	$(BIN)/python benchmarks/retrieval.py
bench-http:
	$(BIN)/python benchmarks/retrieval_http.py
bench-search:
	$(BIN)/skill0 evaluate scripted --env search

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -exec rm -rf {} +
