#!/usr/bin/env bash
# The operator against its opponents at equal CPU time (docs/comparison.md): 12 + 6 trainings per set, which continue where they stopped.
#   scripts/comparison.sh [SET..]        sets: burgers_nu0.001 ks burgers_nu0.01 advection_beta1 diffreact (default: all)
# A longer budget takes over the optimizers and rates that the 120-s comparison of the same set chose, when it is there (9 trainings).
#   CPU_SECONDS=300 JOBS=2 SEEDS=3 OUT=runs/compare UPS_BIN=build/release/bin
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${UPS_BIN:-build/release/bin} seconds=${CPU_SECONDS:-120} out=${OUT:-runs/compare}
for set in "${@:-burgers_nu0.001 ks burgers_nu0.01 advection_beta1 diffreact}"; do
  for name in $set; do
    fno=fno_fixed
    case $name in
      ks) fno=fno_fixed_ks ;;
      diffreact) fno=fno_fixed_2d ;;
    esac
    config=configs/$name.yaml
    generate=$(sed -n 's/^#  *ups-data generate/generate/p' "$config" | head -1)
    [ -e "${generate##* }" ] || (mkdir -p quickstart-data && $bin/ups-data $generate)
    choices=()
    [ "$seconds" -le 120 ] || [ ! -e "$out/$name-120s/compare.json" ] || choices=(--choices "$out/$name-120s")
    $bin/ups-eval compare "pdet_window=$config" "fno_fixed=$config+configs/opponents/$fno.yaml" "unet=$config+configs/opponents/unet.yaml" \
      --out "$out/$name-${seconds}s" --cpu-seconds "$seconds" --seeds "${SEEDS:-3}" --jobs "${JOBS:-2}" --optimizers adamw,muon_hybrid ${choices[@]+"${choices[@]}"}
  done
done
python3 scripts/comparison_report.py "$out"
