#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: builds preset cuda, runs the optimizer and trainer tests on the device (also under
# compute-sanitizer), trains and scores the operator there, times the optimizers and the training step against Python's on the same GPU
# with the kernels, copies and waits of each (scripts/bench_gpu.py), and writes a report. Needs no network: LibTorch comes from an
# installed `torch` >= 2.11 with CUDA, the other libraries from UPS_DEPS_PREFIX (filled by scripts/bundle_deps.sh) or from the system.
#   scripts/gpu_check.sh [--report FILE] [--torch FOLDER]      default: docs/gpu.md, the torch of python3
#   UPS_DEPS_PREFIX=DIR   headers and libraries      CUDA_HOME=DIR   toolkit (default: nvcc's)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
report=docs/gpu.md torch=
while [ $# -gt 0 ]; do
  case $1 in
    --report) report=${2:?}; shift 2 ;;
    --torch) torch=${2:?}; shift 2 ;;
    -h|--help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "gpu_check.sh: unknown option '$1'; see scripts/gpu_check.sh --help" >&2; exit 2 ;;
  esac
done
command -v nvidia-smi > /dev/null || { echo "gpu_check.sh: no nvidia-smi: this machine has no NVIDIA driver" >&2; exit 1; }
gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)
[ -n "$torch" ] || torch=$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))')
nvcc=${CUDA_HOME:+$CUDA_HOME/bin/}nvcc
. scripts/build_env.sh
build=build/cuda log=build/gpu_check.log
mkdir -p build
: > $log
step() { echo "== $*" | tee -a $log; }
seconds() { local start; start=$(date +%s.%N); "$@" >> $log 2>&1; python3 -c "import time,sys; print(f'{time.time()-float(sys.argv[1]):.1f}')" "$start"; }

step "build with $torch"
cmake --preset cuda -DLibTorch_ROOT="$torch" -DCMAKE_CUDA_COMPILER="$(command -v "$nvcc")" -DCMAKE_CUDA_ARCHITECTURES=native \
  ${UPS_DEPS_PREFIX:+-DUPS_DEPS_PREFIX="$UPS_DEPS_PREFIX"} >> $log
build_s=$(seconds ninja -C $build ups-train ups-eval ups-data bench_optim bench_step test_device test_muon_small test_muon_cuda)

step "tests on the device"
tests=passed
for name in test_muon_small test_muon_cuda test_device; do
  UPS_TEST_DEVICE=cuda $build/tests/$name >> $log 2>&1 || { tests=FAILED; echo "$name failed, see $log" >&2; }
done
sanitizer="not installed"
if command -v compute-sanitizer > /dev/null; then
  sanitizer=clean
  for name in test_muon_small test_muon_cuda test_device; do
    UPS_TEST_DEVICE=cuda compute-sanitizer --error-exitcode 9 $build/tests/$name >> $log 2>&1 || sanitizer="FINDINGS in $name, see $log"
  done
fi

step "optimizers and training step against Python"
if ! PYTHONPATH="$(dirname "$torch")${PYTHONPATH:+:$PYTHONPATH}" python3 scripts/bench_gpu.py $build/bin/bench_optim $build/bin/bench_step \
    --bundle tests/golden/ups/operator_golden --report build/gpu_bench.md >> $log 2>&1; then
  echo "**Not measured against Python**: scripts/bench_gpu.py failed, see $log." > build/gpu_bench.md
  tail -3 $log >&2
fi

step "operator on the GPU and on the CPU"
data=build/gpu_check.hdf5 config=build/gpu_check.yaml
[ -e $data ] || $build/bin/ups-data generate burgers1d -n 200 --nx 256 --param nu=0.01 --t-end 2 --save-every 0.05 -o $data >> $log
cat > $config <<Y
data: {files: [$data], initial_step: 10}
training: {batch_size: 32}
stages: {operator: {epochs: 2}}
Y
rm -rf build/gpu_run build/cpu_run
gpu_s=$(seconds $build/bin/ups-train --config $config --stage operator --device cuda --run-dir build/gpu_run)
cpu_s=$(seconds $build/bin/ups-train --config $config --stage operator --device cpu --run-dir build/cpu_run)
step "operator on the GPU with training.compile"
rm -rf build/graph_run
graph_s=$(seconds $build/bin/ups-train --config $config --stage operator --device cuda --set training.compile=true --set training.compile_warmup=3 --run-dir build/graph_run)
graphs="recorded"
! grep -q "ignored: training.compile" build/graph_run/run.log || graphs="NOT recorded, see build/graph_run/run.log"
# Largest relative difference between the losses of equal updates of two runs.
loss_difference() {
  python3 - "$1/metrics.jsonl" "$2/metrics.jsonl" <<'P'
import json, sys
runs = [{r["update"]: r["operator/loss"] for r in map(json.loads, open(f)) if r.get("kind") == "step"} for f in sys.argv[1:]]
both = runs[0].keys() & runs[1].keys()
print(f"{max(abs(runs[0][u] - runs[1][u]) / abs(runs[0][u]) for u in both):.1e} over {len(both)} records")
P
}
epoch_s() { sed -n 's/.*"operator\/epoch_time_sec":\([^,}]*\).*/\1/p' "$1/metrics.jsonl" | tail -1; }
best() { sed -n 's/.*"operator\/best_loss":\([^,}]*\).*/\1/p' "$1/metrics.jsonl" | tail -1; }

cat > "$report" <<R
# On a GPU

Written by \`scripts/gpu_check.sh\` on $(date -u +%F), commit $(git rev-parse --short HEAD 2> /dev/null || echo unknown).

| what | result |
|---|---|
| GPU, driver | $gpu |
| LibTorch | $(python3 -c 'import torch; print(torch.__version__)' 2> /dev/null || basename "$torch") |
| build of preset cuda | $build_s s |
| tests on the device (test_muon_small, test_muon_cuda, test_device) | $tests |
| compute-sanitizer over the optimizer's and the trainer's tests | $sanitizer |
| operator, Burgers, 2 epochs: GPU | $gpu_s s, best score $(best build/gpu_run) |
| the same with [training.compile](explanation/compile.md) | $graph_s s, best score $(best build/graph_run), graphs $graphs |
| last epoch without and with graphs | $(epoch_s build/gpu_run) s, $(epoch_s build/graph_run) s |
| largest relative difference of their losses | $(loss_difference build/gpu_run build/graph_run) |
| the same on the CPU of that machine | $cpu_s s, best score $(best build/cpu_run) |

$(cat build/gpu_bench.md)
R
cat "$report"
[ "$tests" = passed ]
