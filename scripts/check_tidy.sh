#!/usr/bin/env bash
# Runs clang-tidy (.clang-tidy) over src and apps, or over the files named. Exit 1 if there is a finding.
#   scripts/check_tidy.sh [FILE..]      CLANG_TIDY=program picks another one (default: clang-tidy, clang-tidy-14)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
tidy=${CLANG_TIDY:-$(command -v clang-tidy || command -v clang-tidy-14 || true)}
if [ -z "$tidy" ]; then
  [ "$(id -u)" = 0 ] || { echo "check_tidy.sh: missing Debian package: clang-tidy-14" >&2; exit 1; }
  echo "check_tidy: installing clang-tidy-14" >&2
  apt-get install -y -qq --no-install-recommends clang-tidy-14 > /dev/null
  tidy=clang-tidy-14
fi
. scripts/build_env.sh
cmake --preset tidy -DCMAKE_CXX_CLANG_TIDY="$tidy" > /dev/null
if [ $# -gt 0 ]; then files=("$@"); else mapfile -t files < <(find src apps -name '*.cpp' | sort); fi
# g++'s own warning switches mean nothing to clang.
printf '%s\0' "${files[@]}" | nice xargs -0 -n 1 -P "$(nproc)" "$tidy" -p build/tidy --quiet --warnings-as-errors='*' \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-everything 2> build/tidy/stderr.log && echo "clang-tidy: ${#files[@]} files, no findings"
