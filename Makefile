# Every target sets up what it needs: a machine with Python 3.11 to 3.13, git and make is enough.
BIN := .venv/bin
UV := $(BIN)/uv
export DAGSTER_DISABLE_TELEMETRY := 1
export DVC_NO_ANALYTICS := 1
export GX_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: demo test lint serve ui cluster drill bench fuzz audit lock

demo: .venv/installed  ## onboard a synthetic customer
	@$(BIN)/alp demo

test: export OMP_NUM_THREADS := 1  # three processes test on two cores, for one of them mostly waits
test: lint  ## all checks of the code and all tests; those marked slow where CI is set, as .ci/run does
	@$(BIN)/pytest -n 3 --dist loadscope --no-loadscope-reorder $(if $(CI),,-m "not slow")

lint: .venv/installed  ## style, types, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

serve: .venv/installed  ## the console on http://localhost:8000 and Dagster on http://localhost:3000, until Ctrl-C
	@$(BIN)/python tools/serve.py $(ARGS)

ui: .venv/installed  ## Dagster on http://localhost:3000, sensors on; ALP_DATA names the data root
	@DAGSTER_HOME="$$($(BIN)/alp home)" $(BIN)/dagster dev -w workspace.yaml $(ARGS)

cluster: .venv/installed  ## workers, PostgreSQL, Redis and Dagster on this machine, until Ctrl-C; see deploy/
	@$(BIN)/python tools/cluster.py $(ARGS)

drill: .venv/installed  ## break things on purpose, and see that nothing is lost; see docs/drills.md
	@$(BIN)/python -m drills $(ARGS)

bench: .venv/installed  ## measure; see bench/
	@$(BIN)/python -m bench $(ARGS)

fuzz: .venv/installed  ## spoilt files through the readers of uploads; ARGS="--minutes 10 --target audio"
	@$(BIN)/python -m tools.fuzz $(ARGS)

audit: .venv/installed  ## licences, bill of materials, known vulnerabilities of what ALP is built on
	@$(BIN)/python -m tools.audit

COMPILE = $(UV) pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
    --no-annotate --no-header --no-emit-index-url --quiet

lock: .venv/installed  ## compile the lock files anew
	$(COMPILE) pyproject.toml --extra dev --extra bench --extra cluster --extra s3 --extra ssh --output-file requirements.lock $(ARGS)
	echo uv | $(COMPILE) - --output-file requirements-uv.lock $(ARGS)

.venv/installed: requirements.lock requirements-cpu.lock requirements-uv.lock pyproject.toml tools/install.sh
	@sh tools/install.sh
