#!/bin/sh
# Makes .venv exactly as requirements.lock says: `make` calls it whenever the lock is newer.
#
# PyTorch from PyPI brings 3 GB of CUDA libraries on Linux. Where pip is offered PyTorch's CPU build
# (find-links in pip's settings) and the machine has no NVIDIA driver, that build is taken instead,
# by its own hash in requirements-cpu.lock, and the CUDA libraries are left out.
set -eu
cd "$(dirname "$0")/.."

supported='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c "$supported" 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "ALP needs Python 3.11, 3.12 or 3.13 with venv; none was found (set PYTHON=/path/to/python3)." >&2
    exit 1
fi

[ -x .venv/bin/python ] || "$python" -m venv .venv
uv=.venv/bin/uv
.venv/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements-uv.lock 2>&1 | grep -v WARNING || true
[ -x "$uv" ] || { echo "uv could not be installed with pip; see above." >&2; exit 1; }

# uv does not read pip's settings: what this machine offers to pip, it offers to uv too.
pip_setting() { .venv/bin/python -m pip config get "global.$1" 2>/dev/null || true; }
: "${UV_FIND_LINKS:=${PIP_FIND_LINKS:-$(pip_setting find-links)}}"
: "${UV_DEFAULT_INDEX:=${PIP_INDEX_URL:-$(pip_setting index-url)}}"
: "${UV_HTTP_TIMEOUT:=180}"
export UV_HTTP_TIMEOUT
[ -z "$UV_FIND_LINKS" ] || export UV_FIND_LINKS
if [ -n "$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; else unset UV_DEFAULT_INDEX; fi

# Compiled once here, the first start of every command is not the slow one.
install() { "$uv" pip install --compile-bytecode --python .venv/bin/python --require-hashes --no-deps "$@"; }

excludes=$(mktemp)
trap 'rm -f "$excludes"' EXIT
if [ -z "$(command -v nvidia-smi || true)" ] && install --quiet -r requirements-cpu.lock 2>/dev/null \
    && .venv/bin/python -c 'from importlib.metadata import version; assert "+cpu" in version("torch")' 2>/dev/null; then
    sed -nE 's/^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==.*/\1/p' requirements.lock >"$excludes"
fi
install --excludes "$excludes" -r requirements.lock
"$uv" pip install --python .venv/bin/python --quiet --no-deps --no-build-isolation -e .
touch .venv/installed
