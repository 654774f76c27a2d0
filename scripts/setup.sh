#!/usr/bin/env bash
# Installs what the build needs and nothing else; asks nothing; does nothing the second time.
#   scripts/setup.sh [--torch VERSION|PATH] [--with-python] [--no-link]
#     --torch VERSION  a release of the PyPI wheel (default: what .deps/libtorch points at, else 2.13.0)
#     --torch PATH     an unpacked LibTorch or <site-packages>/torch
#     --with-python    also what the tests' Python checks import (torch itself, numpy, h5py, safetensors)
#     --no-link        install that LibTorch beside the one in use, do not switch .deps/libtorch to it
# Debian packages go into the system (root or password-free sudo), LibTorch into .deps/ of this folder.
# UPS_TORCH_INDEX: another package index for torch alone, for example one that has the +cpu wheels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

default_torch=2.13.0
torch="" with_python=0 link=1
while [ $# -gt 0 ]; do
  case $1 in
    --torch) torch=${2:?--torch needs a version or a path}; shift 2 ;;
    --torch=*) torch=${1#*=}; shift ;;
    --with-python) with_python=1; shift ;;
    --no-link) link=0; shift ;;
    -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown option '$1'; see scripts/setup.sh --help" >&2; exit 2 ;;
  esac
done
say() { echo "setup: $*" >&2; }

# ---- Debian packages
packages="g++ cmake ninja-build ccache pkg-config catch2 libcli11-dev libhdf5-dev libspdlog-dev libfmt-dev libxxhash-dev
  libyaml-cpp-dev nlohmann-json3-dev liblzf-dev libkissfft-dev zlib1g-dev python3"
python=""
for p in python3 /usr/bin/python3; do  # the first one that has pip
  if command -v "$p" > /dev/null && "$p" -c 'import pip' 2> /dev/null; then python=$p; break; fi
done
[ -n "$python" ] || packages="$packages python3-pip"

if command -v dpkg-query > /dev/null; then
  installed=" $(dpkg-query -W -f='${Package}/${db:Status-Status} ' $packages 2> /dev/null || true)"
  missing=""
  for p in $packages; do
    case $installed in *" $p/installed "*) ;; *) missing="$missing $p" ;; esac
  done
  if [ -n "$missing" ]; then
    root=()
    if [ "$(id -u)" != 0 ]; then
      if sudo -n true 2> /dev/null; then root=(sudo); else
        echo "setup.sh: missing Debian packages, install them as root: apt-get install -y --no-install-recommends$missing" >&2
        exit 1
      fi
    fi
    say "installing Debian packages:$missing"
    install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends)
    # The package lists may be old or absent: refresh them once when the first try fails.
    "${install[@]}" $missing > /dev/null 2>&1 || { "${root[@]}" apt-get update -qq && "${install[@]}" $missing > /dev/null; }
  fi
else
  say "not a Debian system: expecting the equivalents of: $(echo $packages)"
fi
if [ -z "$python" ]; then
  for p in python3 /usr/bin/python3; do "$p" -c 'import pip' 2> /dev/null && { python=$p; break; }; done
fi

# ---- LibTorch
mkdir -p .deps
if [ -z "$torch" ]; then
  if [ -e .deps/libtorch/lib/libtorch_cpu.so ]; then torch=$(readlink .deps/libtorch); else torch=$default_torch; fi
fi
pip_install() {  # pip_install DIR ARGS..: into DIR, quietly
  "$python" -m pip install --quiet --no-warn-conflicts --disable-pip-version-check --root-user-action=ignore --target "$@" 2>&1 |
    grep -vE '^(WARNING: (Location|Target directory)|$)' >&2 || true
}
case $torch in
  torch-*/torch) dir=.deps/${torch%/torch}; target=$torch ;;  # as linked by an earlier run
  [0-9]*)
    dir=.deps/torch-${torch%%+*}
    target=torch-${torch%%+*}/torch ;;
  *)
    dir=""
    target=$(cd .deps && realpath -e "$torch" 2> /dev/null) || target=$(realpath -e "$torch") || exit 2
    [ -e "$target/lib/libtorch_cpu.so" ] || { echo "setup.sh: $torch: no lib/libtorch_cpu.so in it; give the folder that holds include/ and lib/" >&2; exit 2; } ;;
esac
if [ -n "$dir" ] && [ ! -e "$dir/torch/lib/libtorch_cpu.so" ]; then
  version=${dir#.deps/torch-}
  say "installing LibTorch: the wheel torch==$version into $dir"
  rm -rf "$dir.part"
  index=(); [ -z "${UPS_TORCH_INDEX:-}" ] || index=(--index-url "$UPS_TORCH_INDEX")
  pip_install "$dir.part" --no-deps "${index[@]}" "torch==$version"
  [ -e "$dir.part/torch/lib/libtorch_cpu.so" ] || { echo "setup.sh: pip could not install torch==$version (see above)" >&2; exit 1; }
  # A CUDA wheel's libtorch_cpu.so names two CUDA libraries even for CPU work.
  cuda=$(sed -n 's/^Requires-Dist: cuda-toolkit\[[^]]*\]\(==[0-9.]*\).*/\1/p' "$dir.part"/torch-*.dist-info/METADATA | head -1)
  [ -z "$cuda" ] || pip_install "$dir.part" "cuda-toolkit[cudart,cupti]$cuda"
  mv "$dir.part" "$dir"
fi
if [ $link = 1 ] && [ "$(readlink .deps/libtorch || true)" != "$target" ]; then
  ln -sfn "$target" .deps/libtorch
  say "LibTorch: .deps/libtorch -> $target"
fi

# ---- Python modules for the checks that compare with Python
if [ $with_python = 1 ]; then
  lib=${dir:-.deps/python}
  need=""
  for m in numpy h5py safetensors filelock typing_extensions sympy networkx jinja2 fsspec setuptools; do
    [ -e "$lib/$m" ] || [ -e "$lib/$m.py" ] || need="$need $m"
  done
  if [ -n "$need" ]; then
    say "installing Python modules into $lib:$need"
    pip_install "$lib" $need
    for m in $need; do
      [ -e "$lib/$m" ] || [ -e "$lib/$m.py" ] || { echo "setup.sh: pip could not install $m (see above)" >&2; exit 1; }
    done
  fi
fi
