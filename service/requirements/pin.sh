#!/usr/bin/env bash
# Writes the pinned requirement files from pyproject.toml. Requires uv, and a CPU build of torch in UV_FIND_LINKS or
# UV_INDEX. The files contain versions but no index, so they install from any index.
# With --keep, pinned packages keep their versions, and only missing ones are added.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=service/requirements
extras=(--extra cpu --extra local --extra gis --extra sicd --extra mcp --extra postgres --extra finetune --extra dev)
all=$(mktemp) kept=$(mktemp) gateway=$(mktemp)
trap 'rm -f "$all" "$kept" "$gateway"' EXIT
[ "${1:-}" != --keep ] || cat "$out"/{gateway,worker,finetune,dev}.txt | sed -E '/--hash=/d; s/ \\$//' >"$kept"
resolve() {
    uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header \
        --override "$out/unwanted.txt" --constraint "$kept" "$@" pyproject.toml
}
pin() {
    # Only Linux and macOS are supported, without CUDA. A local version such as +cpu depends on the index.
    resolve "$@" |
        sed -E "/sys_platform == '(win32|emscripten)'/d; /^(nvidia|cuda)-/d; s/\+cpu//; /^torch==/s/ ;.*//" | LC_ALL=C sort -u
}
pin "${extras[@]}" >"$all"
# The gateway's file has hashes. Those with torch can't: its build depends on the index.
pin --constraint "$all" --extra postgres |
    uv pip compile --quiet --universal --python-version 3.11 --no-deps --no-annotate --no-header --generate-hashes - >"$gateway"
mv "$gateway" "$out/gateway.txt"
pin --constraint "$all" --extra postgres --extra cpu --extra local >"$out/worker.txt"
pin --constraint "$all" --extra postgres --extra finetune >"$out/finetune.txt"
pin --constraint "$all" --extra dev >"$out/dev.txt"
