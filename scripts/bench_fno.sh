#!/usr/bin/env bash
# Times a training step of the opponent FNO (configs/opponents/fno_fixed.yaml: width 24, modes 48, batch 8, 256 points; forward, relative
# loss, backward, clip, AdamW, EMA) against an eager Python program of the same network: one thread each, interleaved rounds, medians.
#   scripts/bench_fno.sh [--points 256 --modes 48 --width 24 --batch 8] [--rounds 11] [--steps 40]
#   UPS_BUILD_DIR  build folder (default build/release)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${UPS_BUILD_DIR:-build/release}
torch=$(readlink -f "${LibTorch_ROOT:-.deps/libtorch}")
[[ -f $build/build.ninja ]] || cmake --preset release >/dev/null
cmake --build "$build" --target bench_fno >/dev/null
export PYTHONPATH="$(dirname "$torch")${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
if ! python3 -c 'import torch' 2>/dev/null; then
  echo "bench_fno: python3 cannot import torch from $(dirname "$torch"); run scripts/setup.sh --with-python" >&2
  exit 1
fi
exec python3 scripts/bench_fno.py "$build/bin/bench_fno" "$@"
