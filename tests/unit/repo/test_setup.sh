#!/usr/bin/env bash
# scripts/setup.sh without root: names what is missing in one line and stops; refuses wrong options. Runs on stand-ins for id,
# sudo, dpkg-query and apt-get, in a copy, so that nothing is installed.     usage: test_setup.sh SOURCE_DIR
set -uo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/bin" "$tmp/repo/scripts"
cp "$1/scripts/setup.sh" "$tmp/repo/scripts/"
fake() { printf '#!/bin/sh\n%s\n' "$2" > "$tmp/bin/$1"; chmod +x "$tmp/bin/$1"; }
fake id 'echo 1000'
fake sudo 'exit 1'
fake apt-get 'echo "apt-get was called: $*" >&2; exit 1'
failed=0
expect() {  # expect NAME EXIT_CODE REGEX_OF_THE_ONLY_STDERR_LINE ARGS..
  local name=$1 code=$2 pattern=$3; shift 3
  PATH="$tmp/bin:$PATH" bash "$tmp/repo/scripts/setup.sh" "$@" > "$tmp/out" 2> "$tmp/err" < /dev/null
  local got=$?
  if [ $got != "$code" ] || [ "$(wc -l < "$tmp/err")" != 1 ] || ! grep -qE "$pattern" "$tmp/err"; then
    echo "FAILED $name: exit $got (expected $code), stderr:"; cat "$tmp/err"; failed=1
  fi
}
installed='for p in "$@"; do case $p in -*|ninja-build|libhdf5-dev) ;; *) printf "%s/installed " "$p" ;; esac; done'
fake dpkg-query "$installed"
expect 'missing packages' 1 'install -y --no-install-recommends ninja-build libhdf5-dev$'
fake dpkg-query 'exit 1'
expect 'nothing installed' 1 'missing Debian packages.* g\+\+ cmake .*zlib1g-dev'
fake dpkg-query 'for p in "$@"; do printf "%s/installed " "$p"; done'
expect 'not a libtorch' 2 'no lib/libtorch_cpu.so' --torch "$tmp"
expect 'no such folder' 2 'none/here' --torch "$tmp/none/here"
expect 'unknown option' 2 "unknown option '--torhc'" --torhc 2.13.0
expect 'missing value' 1 'needs a version or a path' --torch
[ ! -e "$tmp/repo/.deps/libtorch" ] || { echo 'FAILED: a link was made'; failed=1; }
[ $failed = 0 ] && echo 'setup.sh: ok'
exit $failed
