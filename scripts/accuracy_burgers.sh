#!/usr/bin/env bash
# Accuracy of pdet_window on Burgers nu = 0.01 (docs/results.md): three seeds through the normal trainer, one thread each, weights chosen
# on validation, test split opened once. Prints one line per seed and the medians; resumable, results stay in runs/accuracy/.
#   scripts/accuracy_burgers.sh [BUILD_BIN] (default build/release/bin)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${1:-build/release/bin}
data=quickstart-data/burgers1d_nu0.01.hdf5
mkdir -p quickstart-data runs/accuracy
[ -f "$data" ] || "$bin/ups-data" generate burgers1d -n 1024 --nx 256 --param nu=0.01 --t-end 2 --save-every 0.05 -o "$data"
for seed in 0 1 2; do
  "$bin/ups-train" --config configs/burgers_nu0.01.yaml --stage all --seed $seed --run-dir runs/accuracy/seed$seed --resume=auto --progress none
done
python3 - <<'PY'
import json, statistics
rows = []
for seed in range(3):
    base = f"runs/accuracy/seed{seed}"
    table = json.load(open(f"{base}/eval/evaluation.json"))["table"]
    row = next(r for r in table if r["model"] == "operator")
    cpu = json.load(open(f"{base}/costs.json"))["operator"]
    rows.append((row["rollout_nrmse"], row["one_step_nrmse"], cpu))
    print(f"seed {seed}: rollout nRMSE {rows[-1][0]:.5f}  one-step nRMSE {rows[-1][1]:.6f}  training and validation {cpu:.0f} CPU-s")
print("median: rollout nRMSE %.5f  one-step nRMSE %.6f  (targets 0.010 and 0.0015, at most 600 CPU-s)" %
      (statistics.median(r[0] for r in rows), statistics.median(r[1] for r in rows)))
PY
