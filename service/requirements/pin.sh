#!/usr/bin/env bash
# Makes the pinned requirement files from pyproject.toml. Needs uv, and UV_FIND_LINKS or UV_INDEX
# naming a place that holds a CPU build of torch. The files name versions only: they install from any index.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=service/requirements
pin() {
    uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
        --override "$out/unwanted.txt" "$@" pyproject.toml |
        # Other platforms than Linux and macOS, and CUDA, are not served by these files; a local version
        # such as +cpu is the index's business.
        sed -E "/sys_platform == '(win32|emscripten)'/d; /^(nvidia|cuda)-/d; s/\+cpu//; /^torch==/s/ ;.*//" | sort -u
}
all=$(mktemp)
trap 'rm -f "$all"' EXIT
pin --all-extras >"$all"
pin --constraint "$all" >"$out/gateway.txt"
pin --constraint "$all" --extra worker --extra local >"$out/worker.txt"
pin --constraint "$all" --extra finetune >"$out/finetune.txt"
pin --constraint "$all" --extra dev >"$out/dev.txt"
