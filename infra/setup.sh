#!/bin/bash
# Makes .venv with the locked dependencies and our packages, editable. Safe to repeat. Debian 12, Python >= 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q >/dev/null && apt-get install -y -q python3 python3-venv python3-pip >/dev/null
    else
        echo "Python >= 3.11 with venv is needed: as root, apt-get install python3 python3-venv" >&2; exit 1
    fi
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install -q --disable-pip-version-check uv
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/uv pip install -q --require-hashes -r requirements.lock
.venv/bin/uv pip install -q --no-deps -e libs/common -e libs/data -e libs/client -e services/dispatcher -e services/api \
    -e services/recruiter -e services/agent -e infra -e libs/slurm
# Without this every command and service would compile all it imports at each start wherever PYTHONDONTWRITEBYTECODE is set.
.venv/bin/python -m compileall -q .venv/lib libs/*/src services/*/src infra/src || true
