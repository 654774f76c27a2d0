#!/usr/bin/env bash
# Fills DIR with the headers, CMake files and shared libraries of the Debian packages we build with (LibTorch apart), so that a
# machine without network builds by  cmake --preset release -DUPS_DEPS_PREFIX=DIR.  Needs apt, no root, installs nothing.
#   scripts/bundle_deps.sh DIR
# Libraries find each other by RUNPATH $ORIGIN; only those that something here really names are kept.
set -euo pipefail
[ $# = 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
dir=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

dev="catch2 libcli11-dev libhdf5-dev libspdlog-dev libfmt-dev libxxhash-dev libyaml-cpp-dev nlohmann-json3-dev liblzf-dev
  libkissfft-dev zlib1g-dev"
runtime=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
            libhdf5-103-1 libyaml-cpp0.7 libspdlog1.10 libfmt9 liblzf1 |
          grep -E '^lib|^zlib' | grep -vE '^(libc6|libgcc-s1|libcrypt1|libstdc\+\+6|libjs-|lib.*perl)' | cut -d: -f1 | sort -u)
mkdir "$work/deb" "$work/root"
(cd "$work/deb" && apt-get download -qq $dev $runtime patchelf 2>&1 | grep -v 'unsandboxed' >&2 || true)
for deb in "$work"/deb/*.deb; do dpkg -x "$deb" "$work/root"; done
[ -x "$work/root/usr/bin/patchelf" ] || { echo "bundle_deps.sh: apt-get download failed (run apt-get update?)" >&2; exit 1; }
arch=$(ls "$work/root/usr/lib" | grep -m1 -- '-linux-gnu$')
if [ -d "$work/root/lib/$arch" ]; then cp -a "$work/root/lib/$arch/." "$work/root/usr/lib/$arch/"; fi

# Headers and CMake files: all but what is Fortran, MPI, documentation.
mkdir -p "$dir/usr/lib/$arch" "$dir/usr/share"
rm -rf "$work/root/usr/include/$arch" "$work"/root/usr/include/hdf5/{mpich,openmpi}
cp -a "$work/root/usr/include" "$dir/usr/"
for c in lib/cmake "lib/$arch/cmake" share/cmake; do
  [ ! -d "$work/root/usr/$c" ] || { mkdir -p "$dir/usr/$c"; cp -a "$work/root/usr/$c/." "$dir/usr/$c/"; }
done

# Libraries: the ones we link, then everything they name that is not the C or C++ runtime.
copy_library() {  # soname or path below usr/lib/<arch>
  local from="$work/root/usr/lib/$arch/$1" to="$dir/usr/lib/$arch/$(basename "$1")"
  [ ! -e "$to" ] || return 0
  [ -e "$from" ] || { echo "bundle_deps.sh: $1 is in none of the packages" >&2; exit 1; }
  cp "$(realpath "$from")" "$to"
  local needed
  for needed in $(objdump -p "$to" | sed -n 's/^ *NEEDED *//p'); do
    case $needed in libc.so*|libm.so*|libgcc_s*|libstdc++*|ld-linux*|libdl.so*|libpthread.so*|librt.so*|libresolv.so*) ;;
      *) copy_library "$needed" ;;
    esac
  done
  "$work/root/usr/bin/patchelf" --set-rpath '$ORIGIN' "$to"
}
for l in libhdf5_serial.so libyaml-cpp.so libspdlog.so libfmt.so liblzf.so libz.so; do
  soname=$(objdump -p "$(realpath "$work/root/usr/lib/$arch/$l")" | sed -n 's/^ *SONAME *//p')
  [ -e "$work/root/usr/lib/$arch/$soname" ] || ln -s "$(basename "$(realpath "$work/root/usr/lib/$arch/$l")")" "$work/root/usr/lib/$arch/$soname"
  copy_library "$soname"
  ln -sfn "$soname" "$dir/usr/lib/$arch/$l"
done
# The CMake files also name static libraries (Catch2's main) and shared ones by their full version.
grep -rhoE 'lib[A-Za-z0-9_-]+\.a' "$dir/usr/lib" --include='*.cmake' | sort -u | while read -r a; do
  find "$work/root/usr/lib" -name "$a" -printf '%P\n' | while read -r at; do cp "$work/root/usr/lib/$at" "$dir/usr/lib/$at"; done
done
grep -rhoE 'lib(yaml-cpp|spdlog|fmt)\.so(\.[0-9]+)+' "$dir/usr/lib" --include='*.cmake' | sort -u | while read -r full; do
  [ -e "$dir/usr/lib/$arch/$full" ] || ln -s "${full%%.so*}.so" "$dir/usr/lib/$arch/$full"
done
echo "$dir: $(du -sm "$dir" | cut -f1) MB, $(ls "$dir/usr/lib/$arch" | grep -c '\.so') libraries and links"
