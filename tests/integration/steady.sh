#!/usr/bin/env bash
# The steady prior in a size for the tests: 24 x 24 Darcy, a fixed number of updates, ratios within the run. About 20 CPU-seconds.
#   steady.sh SOURCE_DIR BIN_DIR
set -euo pipefail
configs=$1/configs bin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$bin/ups-data" generate darcy2d -n 640 --nx 24 --quiet -o darcy.hdf5
"$bin/ups-train" --config "$configs/darcy.yaml" --stage steady_prior --run-dir run --progress none --set 'data.files=[darcy.hdf5]' \
  --set stages.steady_prior.epochs=8 --set stages.steady_prior.batch_size=4 > train.log 2>&1 || { cat train.log; exit 1; }
"$bin/ups-eval" --run run --no-plots --quiet
"$bin/ups-eval" warmstart --run run --iterations 5,10
python3 - <<'P'
import json, sys
rows = {r["model"]: r for r in json.load(open("run/eval/evaluation.json"))["table"]}
warm = json.load(open("run/eval/warmstart.json"))["from"]["steady_prior"]
error = rows["steady_prior"]["one_step_nrmse"] / rows["climatology"]["one_step_nrmse"]
five, ten = (w / z for w, z in zip(warm["error"], warm["error_from_zero"]))
fewer = warm["iterations_to_tolerance"] / warm["iterations_to_tolerance_from_zero"]
print(f"mean mode {error:.3f}x climatology (at most 0.15); after 5 PCG iterations {five:.3f}x from zero (at most 0.2), after 10 {ten:.3f}x; to 1e-2 in {fewer:.2f}x as many")
sys.exit(not (error <= 0.15 and five <= 0.2 and ten <= 0.2 and fewer < 1))
P
