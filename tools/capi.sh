#!/bin/sh
# Builds the library for C and installs it: header, static and shared library, pkg-config.
#
#   tools/capi.sh PREFIX       CARGO_FLAGS="--no-default-features": without the embedded model
#
# DESTDIR is put before PREFIX, as packagers like it. `cargo cinstall` (cargo-c) is the
# other way, and knows more of sonames and versions.
set -eu
cd "$(dirname "$0")/.."
prefix=${1:?usage: tools/capi.sh PREFIX}
to=${DESTDIR:-}$prefix
target=${CARGO_TARGET_DIR:-target}
flags=${CARGO_FLAGS:---no-default-features --features emoji32}
# What the static library needs of the system, in the compiler's own words.
# shellcheck disable=SC2086 # several flags
said=$(cargo rustc --release --lib $flags --features capi --crate-type staticlib,cdylib --color never \
  -- --print native-static-libs 2>&1) || { echo "$said" >&2; exit 1; }
private=$(printf '%s\n' "$said" | sed -n 's/^note: native-static-libs: //p' | tail -n 1)
# Cargo repeats what a compiler said, but not what it printed in an earlier build.
if [ -z "$private" ] && [ -e "$target/release/undiffuse.libs" ]; then
  private=$(cat "$target/release/undiffuse.libs")
fi
printf '%s\n' "$private" >"$target/release/undiffuse.libs"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

mkdir -p "$to/include" "$to/lib/pkgconfig"
install -m 644 include/undiffuse.h "$to/include/"
for file in libundiffuse.a libundiffuse.so libundiffuse.dylib undiffuse.dll undiffuse.lib; do
  if [ -e "$target/release/$file" ]; then install -m 644 "$target/release/$file" "$to/lib/"; fi
done
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" -e "s|@PRIVATE@|$private|" \
  undiffuse.pc.in >"$to/lib/pkgconfig/undiffuse.pc"
echo "installed undiffuse $version for C in $to"
