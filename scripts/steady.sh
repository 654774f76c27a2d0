#!/usr/bin/env bash
# The steady prior against fno_fixed at equal CPU time on both kinds of Darcy coefficients, what each saves a solver, and the attractor prior
# (docs/results.md). Cells, runs and reports stay in OUT; a second call continues.
#   scripts/steady.sh [darcy|darcy_grf|ks_attractor ..]     default: all three
#   CPU_SECONDS=300 SEEDS=3 JOBS=1 LR_FACTORS=1 OUT=runs/compare UPS_BIN=build/release/bin; LR_FACTORS=0.333,1,3 searches rates by validation
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${UPS_BIN:-build/release/bin} seconds=${CPU_SECONDS:-300} seeds=${SEEDS:-3} out=${OUT:-runs/compare}
data() {
  local generate
  generate=$(sed -n 's/^#  *ups-data generate/generate/p' "$1" | head -1)
  [ -e "${generate##* }" ] || { mkdir -p quickstart-data && "$bin/ups-data" $generate; }
}
for name in "${@:-darcy darcy_grf ks_attractor}"; do
  for set in $name; do
    config=configs/$set.yaml folder=$out/$set-${seconds}s
    data "$config"
    if [ "$set" = ks_attractor ]; then
      for ((seed = 0; seed < seeds; ++seed)); do
        "$bin/ups-train" --config "$config" --stage steady_prior --run-dir "$folder/seed$seed" --resume=auto --seed $((17 + seed)) --progress none --quiet \
          --set training.cpu_seconds="$seconds" --set stages.steady_prior.epochs=1000000 --set evaluation.enabled=false
        "$bin/ups-eval" --run "$folder/seed$seed" --no-plots
      done
      continue
    fi
    "$bin/ups-eval" compare "prior=$config" "fno_fixed=$config+configs/opponents/fno_fixed_2d.yaml" --stage steady_prior --out "$folder" --cpu-seconds "$seconds" \
      --seeds "$seeds" --jobs "${JOBS:-1}" --lr-factors "${LR_FACTORS:-1}"
    for run in "$folder"/runs/*; do
      echo "$run"
      "$bin/ups-eval" warmstart --run "$run"
    done
  done
done
