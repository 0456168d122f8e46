#!/bin/sh
# The console and Dagster together, until Ctrl-C; what is given is passed on to `alp serve`.
set -eu
cd "$(dirname "$0")/.."
DAGSTER_PORT=${DAGSTER_PORT:-3000}
DAGSTER_HOME=$(.venv/bin/alp home)
export DAGSTER_HOME

.venv/bin/dagster dev -w workspace.yaml -p "$DAGSTER_PORT" --log-level warning &
dagster=$!
trap 'kill "$dagster" 2>/dev/null; wait "$dagster" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
.venv/bin/alp serve --dev --dagster-url "http://localhost:$DAGSTER_PORT" "$@"
