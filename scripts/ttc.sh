#!/usr/bin/env bash
# Test-time compute on Kuramoto-Sivashinsky and Burgers nu 0.001: operator and corrector for 100 CPU-seconds each, one thread, then the evaluations of
# docs/results.md. Needs the sets that the two configurations name. About 8 CPU-minutes of training and 15 of evaluation.
#   scripts/ttc.sh [OUT]        (default runs/ttc)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=build/release/bin out=${1:-runs/ttc}
mkdir -p "$out"
train() {  # NAME ARGUMENTS
  local name=$1
  shift
  [ -d "$out/$name" ] || "$bin/ups-train" "$@" --stage all --run-dir "$out/$name" --threads 1 --progress none --set training.cpu_seconds=100 \
    --set stages.operator.epochs=1000000 --set stages.diff_residual.epochs=1000000 --set stages.consistency_distill.epochs=0 --set evaluation.enabled=false
}
evaluate() {  # NAME LABEL ARGUMENTS
  local name=$1 label=$2
  shift 2
  "$bin/ups-eval" --run "$out/$name" --threads 1 --no-plots --sampler euler:2 --ttc candidates=8 --output-prefix "$out/$label" "$@"
}
train ks --config configs/ks.yaml
train burgers --config configs/burgers_nu0.001.yaml --set diffusion.null_token_share=0.75 --set diffusion.gate=0 \
  --set 'diffusion.pdet={hidden_dim: 24, depths: [2, 1], num_heads: 4, local_mixing: spectral, modes: 48, mlp_ratio: 1}' \
  --set 'stages.diff_residual.optimizer={name: adamw, lr: 1.0e-3, weight_decay: 1.0e-4}'
for name in ks burgers; do evaluate $name $name --horizon 15 --ensemble 2; done
for scheme in crank_nicolson obreshkov4 obreshkov6; do
  evaluate ks "ks_$scheme" --horizon 3 --ensemble 2 --ttc margin=0 --ttc reward.scheme=$scheme
done
