#!/bin/sh
# Every shader variant through the compilers of DirectX and AMD, without Windows
# and without their hardware. Prints tables; fails where a compiler refuses a
# shader, or registers of the tile families spill.
#
#   tools/compilers.sh [NAME]      NAME: only variants whose name contains it
#
# DirectX: libdxcompiler.so, taken from DXC_LIBRARY, from the system, or from the
#   PyPI package compushady (unpacked below target/, never installed).
# AMD: Mesa's driver (mesa-vulkan-drivers) compiles for a chip that is not there.
#   AMD_CHIPS names the chips; RDNA 3 is GFX1100 up to Mesa 22, NAVI31 after it.
# A compiler that is not there is told of and skipped.
set -u
cd "$(dirname "$0")/.." || exit 2
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
cargo build --quiet --manifest-path tools/compilers/Cargo.toml || exit 2
tool=$CARGO_TARGET_DIR/debug/compilers
failed=0

# DirectX.
dxc=${DXC_LIBRARY:-}
if [ -z "$dxc" ]; then
  for at in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/lib /usr/local/lib; do
    if [ -e "$at/libdxcompiler.so" ]; then dxc=$at/libdxcompiler.so; fi
  done
fi
if [ -z "$dxc" ]; then
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) file=libdxcompiler_x86_64.so.3.7 ;;
    Linux-aarch64) file=libdxcompiler_aarch64.so.3.7 ;;
    *) file= ;;
  esac
  folder=$CARGO_TARGET_DIR/compushady
  path=compushady-0.17.5/compushady/backends
  if [ -n "$file" ] && [ ! -e "$folder/$path/$file" ]; then
    mkdir -p "$folder"
    python3 -m pip --quiet download --no-deps --no-binary :all: --dest "$folder" compushady==0.17.5 \
      >"$folder/pip.log" 2>&1 && tar xzf "$folder"/compushady-0.17.5.tar.gz -C "$folder" "$path/$file"
  fi
  if [ -n "$file" ] && [ -e "$folder/$path/$file" ]; then dxc=$folder/$path/$file; fi
fi
if [ -n "$dxc" ]; then
  "$tool" dx "$dxc" "$@" || failed=1
else
  echo "skipped: DirectX's compiler is not here (DXC_LIBRARY=libdxcompiler.so, or pip with access to PyPI)"
fi

# AMD.
icd=
for at in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/share/vulkan/icd.d; do
  for json in "$at"/radeon_icd*.json; do
    if [ -e "$json" ]; then icd=$json; fi
  done
done
if [ -n "$icd" ]; then
  export VK_DRIVER_FILES="$icd" VK_ICD_FILENAMES="$icd" XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
  # No shader cache: what is reported was compiled now.
  export MESA_SHADER_CACHE_DISABLE=true
  knows() { RADV_FORCE_FAMILY=$1 "$tool" amd "$1" advance/ >/dev/null 2>&1; }
  if [ -z "${AMD_CHIPS:-}" ]; then
    AMD_CHIPS=NAVI21
    for chip in NAVI31 GFX1100; do
      if knows "$chip"; then AMD_CHIPS="NAVI21 $chip"; break; fi
    done
  fi
  for chip in $AMD_CHIPS; do
    echo
    "$tool" amd "$chip" "$@" || failed=1
  done
else
  echo "skipped: AMD's compiler is not here (Mesa's RADV: mesa-vulkan-drivers)"
fi
exit $failed
