#!/usr/bin/env bash
# Times our optimizers against Python's on the same LibTorch, machine and threads (scripts/bench_optim.py): full Muon + AdamW step on
# the parameter lists of optim.md 10, AdamW alone, unscale + norm + clip, orthogonalizer against the matrix product's peak. Interleaved
# rounds, medians, a table with the targets and a JSON file. It judges nothing and fails on nothing: it reports.
#   scripts/bench_optim.sh [--rounds 15] [--census ups96,ups384,conv] [--json FILE]
#   UPS_BUILD_DIR  build folder (default build/release)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${UPS_BUILD_DIR:-build/release}
torch=$(readlink -f "${LibTorch_ROOT:-.deps/libtorch}")
if [[ ! -f $build/build.ninja ]]; then
  cmake --preset release >/dev/null
fi
cmake --build "$build" --target bench_optim >/dev/null
export PYTHONPATH="$(dirname "$torch")${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=2
if ! python3 -c 'import torch' 2>/dev/null; then
  echo "bench_optim: python3 cannot import torch from $(dirname "$torch"); run scripts/setup.sh --with-python" >&2
  exit 1
fi
exec python3 scripts/bench_optim.py "$build/bin/bench_optim" --json "$build/bench_optim.json" "$@"
