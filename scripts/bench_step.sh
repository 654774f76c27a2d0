#!/usr/bin/env bash
# Times a training step of the pdet_unet golden configuration (batch 12, fp32, 32 tokens: forward, losses, backward, clip, AdamW,
# EMA) against a Python program of the same model (scripts/bench_step.py), eager and with torch.compile, at one and two threads:
# interleaved rounds, medians.
#   scripts/bench_step.sh [--rounds 11] [--steps 40] [--no-compile]
#   UPS_BUILD_DIR  build folder (default build/release)      UPS_GOLDEN_DIR  folder of operator_golden (default tests/golden/ups)
set -euo pipefail
cd "$(dirname "$0")/.."
build=${UPS_BUILD_DIR:-build/release}
golden=${UPS_GOLDEN_DIR:-tests/golden/ups}
torch=$(readlink -f "${LibTorch_ROOT:-.deps/libtorch}")
if [[ ! -f $build/build.ninja ]]; then
  cmake --preset release >/dev/null
fi
cmake --build "$build" --target bench_step >/dev/null
export PYTHONPATH="$(dirname "$torch")${PYTHONPATH:+:$PYTHONPATH}"
if ! python3 -c 'import torch' 2>/dev/null; then
  echo "bench_step: python3 cannot import torch from $(dirname "$torch"); run scripts/setup.sh --with-python" >&2
  exit 1
fi
exec python3 scripts/bench_step.py "$build/bin/bench_step" --bundle "$golden/operator_golden" "$@"
