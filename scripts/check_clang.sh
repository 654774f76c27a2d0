#!/usr/bin/env bash
# Compiles and links everything with clang (14 by default; installs Debian's package if it is missing) and runs the unit tests.
#   scripts/check_clang.sh [VERSION] [--build-only]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=14 test=1
for a in "$@"; do case $a in --build-only) test=0 ;; *) version=$a ;; esac; done
bash scripts/setup.sh
if ! command -v "clang++-$version" > /dev/null; then
  [ "$(id -u)" = 0 ] || { echo "check_clang.sh: missing Debian packages: clang-$version libclang-rt-$version-dev" >&2; exit 1; }
  echo "check_clang: installing clang-$version libclang-rt-$version-dev" >&2
  apt-get install -y -qq --no-install-recommends "clang-$version" "libclang-rt-$version-dev" > /dev/null
fi
. scripts/build_env.sh
cmake --preset release -B "build/clang-$version" -DCMAKE_CXX_COMPILER="clang++-$version" -DCMAKE_CXX_FLAGS_RELEASE="-O1" > /dev/null
nice ninja -C "build/clang-$version" -k 0
[ $test = 0 ] || ctest --test-dir "build/clang-$version" --output-on-failure -L unit -j "$(nproc)"
