#!/usr/bin/env bash
# Installs ups::optim out of a build folder, then configures, builds and runs the project beside this script against it.
#   tests/consumer/check.sh BUILD_DIR LIBTORCH_ROOT [CMAKE_OPTION ..]
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$1" && pwd) torch=$(cd "$2" && pwd)
shift 2
work=$build/consumer
rm -rf "$work"
cmake --install "$build" --component optim --prefix "$work/prefix" > /dev/null
# A package that can be moved names neither the source tree nor the build folder.
if grep -rlF -e "${source%/tests/consumer}" "$work/prefix" --include=*.cmake --include=*.h; then
  echo "the files above name the source tree"
  exit 1
fi
mv "$work/prefix" "$work/moved"
configure() {
  cmake -S "$source" -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_PREFIX_PATH=$work/moved;$2" "${@:3}"
}
configure "$work/build" "" "-DLibTorch_ROOT=$torch" "$@"
ninja -C "$work/build"
"$work/build/headers"
"$work/build/example"
"$work/build/lenet"
# LibTorch through its own package.
configure "$work/torch" "$torch" -DUSE_TORCH_PACKAGE=ON "$@"
