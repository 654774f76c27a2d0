#!/usr/bin/env bash
# From a fresh Debian 12 to a trained and judged surrogate: set-up, build, data, every stage of configs/quickstart.yaml, evaluation.
#   scripts/quickstart.sh [--torch VERSION|PATH]
# Running it again skips what is done. Everything lands in this folder: .deps/ build/ quickstart-data/ runs/quickstart/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
setup=()
while [ $# -gt 0 ]; do
  case $1 in
    --torch) setup+=(--torch "${2:?--torch needs a version or a path}"); shift 2 ;;
    -h|--help) sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart.sh: unknown option '$1'; see scripts/quickstart.sh --help" >&2; exit 2 ;;
  esac
done
step() { printf '\n== %s\n' "$*"; }

start=$SECONDS
bash scripts/setup.sh "${setup[@]}"
. scripts/build_env.sh
setup_s=$((SECONDS - start)) start=$SECONDS

step "build ups-train, ups-eval, ups-data (build/release/bin)"
cmake --preset release > build.log 2>&1 || { cat build.log; exit 1; }
ninja -C build/release ups-train ups-eval ups-data
mv build.log build/release/configure.log
build_s=$((SECONDS - start)) start=$SECONDS
bin=build/release/bin

step "data: 1-D Burgers (nu .01, 1,024 trajectories of 41 frames, 256 points) and 1,024 Darcy samples at 24 x 24"
mkdir -p quickstart-data
[ -e quickstart-data/burgers1d_nu0.01.hdf5 ] ||
  $bin/ups-data generate burgers1d -n 1024 --nx 256 --param nu=0.01 --t-end 2 --save-every 0.05 -o quickstart-data/burgers1d_nu0.01.hdf5
[ -e quickstart-data/darcy2d_24.hdf5 ] ||
  $bin/ups-data generate darcy2d -n 1024 --nx 24 -o quickstart-data/darcy2d_24.hdf5
data_s=$((SECONDS - start)) start=$SECONDS

step "train every stage of configs/quickstart.yaml and evaluate (run directory runs/quickstart)"
$bin/ups-train --config configs/quickstart.yaml --stage all --run-dir runs/quickstart --resume=auto
train_s=$((SECONDS - start))

step "verdict on the test split, physical units"
cat runs/quickstart/eval/evaluation.txt
printf '\nset-up %d s, build %d s, data %d s, training and evaluation %d s\n' $setup_s $build_s $data_s $train_s
echo "run directory: $PWD/runs/quickstart"
echo "pictures:"
find "$PWD/runs/quickstart" \( -name '*.svg' -o -name '*.png' \) | sort | sed 's/^/  /'
