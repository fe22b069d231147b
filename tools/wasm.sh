#!/bin/sh
# Builds the library for browsers (wasm32-unknown-unknown), without the command line.
#
# With rustup: `rustup target add wasm32-unknown-unknown` is all that is needed.
# A toolchain that brings std's source instead of the target is named from outside:
# RUSTC, RUSTC_BOOTSTRAP=1 and CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER as cargo
# knows them, and WASM_FLAGS="-Z build-std=std,panic_abort". Arguments go to cargo.
set -eu
cd "$(dirname "$0")/.."
target=wasm32-unknown-unknown
rustc=${RUSTC:-rustc}
if [ -z "${WASM_FLAGS:-}" ] && ! ls "$("$rustc" --print sysroot)/lib/rustlib/$target/lib"/libstd-*.rlib >/dev/null 2>&1; then
  echo "rustc has no std for $target: run \`rustup target add $target\`" >&2
  echo "(or name another toolchain with RUSTC and WASM_FLAGS, see the head of $0)" >&2
  exit 1
fi
# shellcheck disable=SC2086 # several flags
exec cargo build --lib --no-default-features --target $target \
  --target-dir "${CARGO_TARGET_DIR:-target}/wasm" ${WASM_FLAGS:-} "$@"
