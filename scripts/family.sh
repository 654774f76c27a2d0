#!/usr/bin/env bash
# One operator for six viscosities against one operator per viscosity, at two viscosities that it has not seen (docs/results.md):
# 60 CPU-seconds per viscosity on both sides; also the same operator without the condition. About 14 CPU-minutes; continues where it stopped.
#   scripts/family.sh [BUILD_BIN] (default build/release/bin)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-build/release/bin}
mkdir -p quickstart-data runs/family
for nu in 0.001 0.002 0.0028 0.004 0.01 0.014 0.02 0.04; do
  data=quickstart-data/burgers1d_family_nu$nu.hdf5
  [ -e "$data" ] || "$bin/ups-data" generate burgers1d -n 512 --nx 256 --param nu=$nu --t-end 2 --save-every 0.05 --seed 7 -o "$data"
done
train() {  # NAME CONFIG KEY=VALUE..
  local name=$1 config=$2 sets=()
  shift 2
  for s in "$@"; do sets+=(--set "$s"); done
  "$bin/ups-train" --config "$config" --stage operator --run-dir "runs/family/$name" --resume=auto --progress none \
    --set stages.operator.epochs=1000000 --set evaluation.enabled=false "${sets[@]}"
}
train family configs/burgers_family.yaml training.cpu_seconds=360
train unconditioned configs/burgers_family.yaml training.cpu_seconds=360 'operator.pdet.condition=[]'
for nu in 0.0028 0.014; do
  train "alone_$nu" configs/burgers_nu0.001.yaml training.cpu_seconds=60 "data.files=[quickstart-data/burgers1d_family_nu$nu.hdf5]"
  for run in family unconditioned "alone_$nu"; do
    "$bin/ups-eval" --run "runs/family/$run" --where nu=$nu --no-plots --output-prefix "runs/family/${run}_at_$nu" --quiet
    echo "nu $nu, $run: $(python3 -c 'import json, sys
row = next(r for r in json.load(open(sys.argv[1]))["table"] if r["model"] == "operator")
print("one-step %.3g rollout %.3g" % (row["one_step_nrmse"], row["rollout_nrmse"]))' "runs/family/${run}_at_$nu.json")"
  done
done
