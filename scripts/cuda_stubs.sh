#!/usr/bin/env bash
# Empty stand-ins for cuBLAS, cuDNN, NCCL .. so that a program linked to a CUDA LibTorch starts where only the wheel and a CUDA
# toolkit are: --version, CPU work and a polite "no CUDA device" run. Never put them into the path of a machine with a GPU.
#   scripts/cuda_stubs.sh <torch>/lib OUT     then     LD_LIBRARY_PATH=OUT program --version
# Works because the wheel binds lazily: a call into a stub ends in "symbol lookup error".
set -euo pipefail
[ $# = 2 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
lib=$1 out=$2
mkdir -p "$out"
for so in $(readelf -dW "$lib"/libtorch_cuda.so "$lib"/libtorch_nvshmem.so "$lib"/libtorch_cuda_linalg.so 2> /dev/null |
              sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u | grep -E '^lib(cu|nv|nccl)' | grep -vE '^libcud(art|a)\.so'); do
  # The loader demands every version node that the wheel asks of this library.
  nodes=$(readelf -VW "$lib"/libtorch*.so 2> /dev/null |
            awk -v so="$so" '/File: /{on = index($0, "File: " so " ")} on && /Name: /{sub(/.*Name: /, ""); print $1}' | sort -u)
  for n in $nodes; do echo "$n { };"; done > "$out/map"
  script=(); [ ! -s "$out/map" ] || script=("-Wl,--version-script=$out/map")
  gcc -shared -fPIC -x c /dev/null -Wl,-soname,"$so" "${script[@]}" -o "$out/$so"
done
rm -f "$out/map"
