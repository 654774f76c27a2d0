#!/usr/bin/env bash
# Corrector and distillation of configs/ks_stages.yaml in a size for the tests: a small set, budgets in updates, one seed. Ratios within the run
# (scripts/corrector_figures.py). About 3 CPU-minutes.
#   corrector.sh SOURCE_DIR BIN_DIR
set -euo pipefail
source=$1 bin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$bin/ups-data" generate ks1d -n 320 --nx 64 --t-end 40 --save-every 1 -o ks.hdf5
"$bin/ups-train" --config "$source/configs/ks_stages.yaml" --run-dir run --progress none --set 'data.files=[ks.hdf5]' --set evaluation.equal_compute=false \
  --set training.validate_every=100 --set stages.operator.epochs=8 --set stages.diff_residual.epochs=6 --set stages.consistency_distill.epochs=4 > log 2>&1 || { cat log; exit 1; }
"$bin/ups-eval" distill --run run --split test
python3 "$source/scripts/corrector_figures.py" run --check
