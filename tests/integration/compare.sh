#!/usr/bin/env bash
# ups-eval compare on two tiny contenders: report, continuation, refusals.
#   compare.sh SOURCE_DIR BIN_DIR
set -euo pipefail
source_dir=$1 bin=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$bin/ups-data" generate burgers1d -n 40 --nx 64 --param nu=0.05 --t-end 1 --save-every 0.1 -o set.hdf5
cat > ours.yaml <<'YAML'
data: {files: [set.hdf5], initial_step: 2, patch_size: 4}
training: {batch_size: 8}
optimizer: {name: adamw, lr: 1.0e-3, scheduler: {name: warmup_cosine}}
operator: {pdet: {hidden_dim: 8, depths: [1], num_heads: 2, local_mixing: conv3}}
YAML
echo 'operator: {pdet: {hidden_dim: 16}}' > wide.yaml
compare() { "$bin/ups-eval" compare ours.yaml wide=ours.yaml+wide.yaml --out cmp --seeds 2 --lr-factors 1,2 "$@"; }
compare --cpu-seconds 0.3 --jobs 2 > first.txt
grep -q '^| wide | [0-9]* | adamw lr 0.00[12], 1 of 2 |' first.txt
test "$(ls cmp/cells/*.json | wc -l)" -eq 6
test -s cmp/compare.json && grep -q '</svg>' cmp/compare.svg
# A cell's command works as printed; a second call finds everything done.
rm -r cmp/runs/wide-*-seed1 cmp/cells/wide-*-seed1.json
compare --cpu-seconds 0.3 > second.txt 2> second.err
test "$(grep -c 'validation .* after' second.err)" -eq 1
compare --cpu-seconds 0.3 > third.txt 2> third.err
test "$(grep -c 'validation .* after' third.err || true)" -eq 0
diff <(grep '^| ' second.txt) <(grep '^| ' third.txt)
# An opponent with a context beside one without, over the same frames.
printf 'data: {initial_step: 2}\noperator: {context: 2, fno: {modes: 8}}\n' > short.yaml
"$bin/ups-eval" compare ours.yaml fno_pdebench=ours.yaml+"$source_dir/configs/opponents/fno_pdebench.yaml"+short.yaml --out cmp3 --seeds 1 --lr-factors 1 --cpu-seconds 0.5 > context.txt
grep -q '^| fno_pdebench | [0-9]* | adam lr 0.001' context.txt
# The choices of a finished comparison: one cell per contender and seed, at those rates.
"$bin/ups-eval" compare ours.yaml wide=ours.yaml+wide.yaml --out cmp4 --seeds 1 --choices cmp --cpu-seconds 0.5 > choices.txt
test "$(ls cmp4/cells/*.json | wc -l)" -eq 2
grep -q '^| wide | [0-9]* | adamw lr 0.00[12], chosen at 0.3 CPU-s |' choices.txt
diff <(grep -o '^| [a-z]* | [0-9]* | adamw lr [0-9.]*' choices.txt | sort) <(grep -o '^| [a-z]* | [0-9]* | adamw lr [0-9.]*' third.txt | sort)
refused() {
  local status=0
  "$@" > /dev/null 2> refused.err || status=$?
  test $status -eq 2 && test "$(wc -l < refused.err)" -ge 1
}
refused compare --cpu-seconds 0.4
grep -q 'another command' refused.err
refused compare --choices cmp3
grep -q 'has no contender wide' refused.err
echo 'data: {files: [other.hdf5], initial_step: 2}' > other.yaml
refused "$bin/ups-eval" compare ours.yaml other=ours.yaml+other.yaml --out cmp2
grep -q 'has other data than ours.yaml' refused.err
echo 'data: {initial_step: 2, train_frames: 5}' > early.yaml
refused "$bin/ups-eval" compare ours.yaml early=ours.yaml+early.yaml --out cmp2
grep -q 'has other data than ours.yaml' refused.err
refused "$bin/ups-eval" compare ours.yaml ours.yaml --out cmp2
grep -q "two contenders are called 'ours'" refused.err
"$bin/ups-eval" paths --run cmp/runs/wide-*-seed1 --print-json > paths.json
grep -q '"conv"' paths.json && grep -q '"rollout_without"' paths.json
refused "$bin/ups-eval"
grep -q -- '--run' refused.err
echo "compare: ok"
