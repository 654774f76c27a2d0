#!/usr/bin/env bash
# Configures, compiles and links preset cuda against a CUDA wheel; needs nvcc, no GPU. Then starts the programs, with empty
# stand-ins for the libraries that only a GPU would use.
#   scripts/check_cuda_build.sh [--torch VERSION] [NINJA TARGET..]      default: 2.14.1, ups-train ups-eval ups-data
#   CUDA_HOME: the toolkit (default: the one nvcc in PATH belongs to, else /usr/local/cuda)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=2.14.1
case ${1:-} in
  --torch) version=${2:?}; shift 2 ;;
  -h|--help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
esac
targets=("$@"); [ $# -gt 0 ] || targets=(ups-train ups-eval ups-data)
cuda=${CUDA_HOME:-}
if [ -z "$cuda" ]; then  # nvcc in PATH may be a wrapper script: ask it where it lives
  cuda=$(nvcc --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p' || true)
  cuda=$(realpath -e "${cuda:-/usr/local/cuda}")
fi
[ -x "$cuda/bin/nvcc" ] || { echo "check_cuda_build.sh: no nvcc in $cuda/bin; install the CUDA toolkit or set CUDA_HOME" >&2; exit 1; }

bash scripts/setup.sh --torch "$version" --no-link
. scripts/build_env.sh
torch=$PWD/.deps/torch-$version/torch
[ -e "$torch/lib/libtorch_cuda.so" ] || { echo "check_cuda_build.sh: the wheel torch==$version is a CPU wheel" >&2; exit 1; }
cmake --preset cuda -DLibTorch_ROOT="$torch" -DCMAKE_CUDA_COMPILER="$cuda/bin/nvcc" -DCUDAToolkit_ROOT="$cuda"
nice ninja -C build/cuda "${targets[@]}"

bash scripts/cuda_stubs.sh "$torch/lib" build/cuda/stubs
for program in build/cuda/bin/ups-*; do
  if [ "$(basename "$program")" != ups-data ]; then
    readelf -d "$program" | grep -q 'NEEDED.*libtorch_cuda' ||
      { echo "check_cuda_build.sh: $program does not name libtorch_cuda.so" >&2; exit 1; }
  fi
  echo "$program:"
  LD_LIBRARY_PATH=build/cuda/stubs:$cuda/lib64 "$program" --version
done
echo "cuda build: ok"
