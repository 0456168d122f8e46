# Every target sets up what it needs: a machine with Python 3.11 to 3.13, git and make is enough.
VENV := .venv/bin
export DAGSTER_DISABLE_TELEMETRY := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test lint ui bench lock clean

.venv/installed: requirements.lock requirements-cpu.lock pyproject.toml tools/install.sh
	@sh tools/install.sh

UV ?= $(shell command -v uv || echo .venv/bin/uv)

lock:  ## compile requirements.lock anew from pyproject.toml
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	    --fork-strategy fewest --generate-hashes --no-annotate --no-header --no-emit-index-url \
	    --quiet --output-file requirements.lock $(ARGS)
