#!/usr/bin/env bash
# CI smoke: the shipped smoke configuration through every stage, evaluation, saved predictions recomputed by NumPy.
#   smoke.sh SOURCE_DIR BIN_DIR
set -euo pipefail
source_dir=$1 bin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir quickstart-data
"$bin/ups-data" generate burgers1d -n 64 --nx 256 --param nu=0.01 --t-end 2 --save-every 0.05 -o quickstart-data/burgers1d_nu0.01.hdf5
"$bin/ups-data" generate darcy2d -n 64 --nx 24 -o quickstart-data/darcy2d_24.hdf5
"$bin/ups-train" --config "$source_dir/configs/smoke.yaml" --config "$source_dir/configs/optim/ups_operator.yaml" --dry-run > dry_run.txt
grep -q '^    Muon   matrix, one per mode .* net\.levels\.\*.*\.spectral\.weight$' dry_run.txt
grep -q '^    AdamW  rank < 2 ' dry_run.txt
TIMEFORMAT='%U %S'  # CPU time: neighbours on the machine cost wall time
{ time "$bin/ups-train" --config "$source_dir/configs/smoke.yaml" --stage all --run-dir run --threads 1 --progress none 2>&3; } 3>&2 2> seconds.txt
seconds=$(awk '{ print int($1 + $2) }' seconds.txt)
"$bin/ups-eval" --run run --save-predictions predictions.h5 --output-prefix eval/evaluation > /dev/null
grep -q ' AdamW  all .* net\.' run/run.log
test -s run/eval/evaluation.json && test -s run/eval/evaluation.csv && ls run/plots/* > /dev/null
for f in operator operator_ema diffusion_residual steady_prior; do test -s run/checkpoints/$f.pt; done
# Python folds "libtorch/.." without looking at links: the wheel's folder by its real name.
export PYTHONPATH=$(dirname "$(readlink -f "$source_dir/.deps/libtorch")"):$source_dir/.deps/python:${PYTHONPATH:-}
if python3 -c 'import torch' 2> /dev/null; then
  python3 - <<'PY'
import glob, torch
for f in sorted(glob.glob("run/checkpoints/*.pt")):
    state = torch.load(f, weights_only=True)
    assert state and all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point()), f
print("torch.load(weights_only=True) reads every export")
PY
else
  echo "notice: python without torch, exports not read back"
fi
if python3 -c 'import h5py, numpy' 2> /dev/null; then
  python3 "$source_dir/scripts/check_predictions.py" eval/evaluation.json predictions.h5
else
  echo "notice: python without h5py, predictions not recomputed"
fi
echo "smoke training took $seconds CPU-s"
test "$seconds" -le 60
