#!/usr/bin/env bash
# Test-time compute on a small Kuramoto-Sivashinsky run: the reward ranks candidates, and the choice does no harm. Fixed updates; about 40 CPU-s.
#   ttc.sh SOURCE_DIR BIN_DIR
set -euo pipefail
configs=$1/configs bin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$bin/ups-data" generate ks1d -n 160 --nx 64 --t-end 40 --save-every 1 -o ks.hdf5
"$bin/ups-train" --config "$configs/ks.yaml" --set 'data.files=[ks.hdf5]' --stage all --run-dir run --threads 1 --progress none \
  --set stages.operator.epochs=2 --set stages.diff_residual.epochs=2 --set stages.consistency_distill.epochs=0 --set evaluation.enabled=false \
  --set 'diffusion.pdet={hidden_dim: 24, depths: [2], num_heads: 4, local_mixing: spectral, modes: 16}' > train.log 2>&1 || { cat train.log; exit 1; }
"$bin/ups-eval" --run run --no-plots --sampler euler:2 --ensemble 2 --horizon 8 --ttc candidates=6 --output-prefix eval > eval.log 2>&1 || { cat eval.log; exit 1; }
python3 - <<'P'
import json, sys
e = json.load(open("eval.json"))
c = e["details"]["ks1d"]["ttc"]["choice"]
rows = {r["model"]: r for r in e["table"]}
ratio = c["nrmse"]["chosen"] / c["nrmse"]["candidate_0"]
rollout = rows["ttc"]["rollout_nrmse"] / rows["operator"]["rollout_nrmse"]
print(f"rank correlation {c['spearman']:.2f} (at least .2), true frame first in {c['truth_first']:.2f}, oracle gain {c['oracle_gain']:.3f}, achieved "
      f"{c['achieved_share']:.2f}, control {c['control_share']:.2f}; error over candidate 0: one step {ratio:.3f} (at most 1.01), rollout {rollout:.3f}")
sys.exit(not (c["spearman"] >= 0.2 and ratio <= 1.01 and {"ttc", "ttc_control_mean"} <= rows.keys()))
P
