#!/usr/bin/env bash
# Set-up, then builds and runs all tests of preset release and the unit tests once more under ASan and UBSan (preset asan).
#   scripts/test.sh [--release-only] [--torch VERSION|PATH] [-j N]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
setup=() presets="release asan" jobs=$(nproc)
while [ $# -gt 0 ]; do
  case $1 in
    --release-only) presets="release"; shift ;;
    --torch) setup+=(--torch "${2:?}"); shift 2 ;;
    -j) jobs=${2:?}; shift 2 ;;
    -h|--help) sed -n '2,3s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown option '$1'; see scripts/test.sh --help" >&2; exit 2 ;;
  esac
done
start=$SECONDS
bash scripts/setup.sh --with-python "${setup[@]}"
. scripts/build_env.sh
echo "set-up: $((SECONDS - start)) s"

logs=build/test-logs status=0 summary=""
mkdir -p $logs
for preset in $presets; do
  start=$SECONDS
  cmake --preset $preset > $logs/configure-$preset.log 2>&1 || { cat $logs/configure-$preset.log; exit 1; }
  targets=(all) only=()
  [ $preset = release ] || { targets=(ups_unit_tests) only=(-L unit); }
  # Keep going: all files that do not compile are named at once.
  if ! ninja -C build/$preset -j "$jobs" -k 0 "${targets[@]}" > $logs/build-$preset.log 2>&1; then
    status=1
    grep -E -A15 '^FAILED|error:' $logs/build-$preset.log | head -150 || true
    summary+="preset $preset: BUILD FAILED, see $logs/build-$preset.log"$'\n'
    continue
  fi
  built=$((SECONDS - start)) start=$SECONDS
  ctest --test-dir build/$preset --output-on-failure -j "$jobs" "${only[@]}" 2>&1 | tee $logs/ctest-$preset.log || status=1
  result=$(grep -E 'tests passed|No tests were found' $logs/ctest-$preset.log || echo "no result")
  summary+="preset $preset: built in $built s, tested in $((SECONDS - start)) s"$'\n'"$result"$'\n'
done
printf '\n%s' "$summary"
exit $status
