#!/bin/bash
# Does it compile elsewhere? The library, the command line and the C interface, for
# Windows, macOS and browsers. Windows is linked too where mingw is here.
#
#   tools/cross.sh [TARGET ...]     default: all three
#
# A target whose std is missing is fetched by `rustup target add`; where that fails the
# target is skipped, and said so. A toolchain that brings std's source instead is named
# from outside, as cargo knows it: RUSTC, RUSTC_BOOTSTRAP=1 and
# CROSS_FLAGS="-Z build-std=std,panic_unwind" (and CARGO_TARGET_<TARGET>_LINKER).
# Exit code: 1 where something does not compile; what was skipped is no failure.
set -u
cd "$(dirname "$0")/.." || exit 2
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target/cross}"
rustc=${RUSTC:-rustc}
done=() skipped=() failed=()

has_std() {
  [ -n "${CROSS_FLAGS:-}" ] && return
  ls "$("$rustc" --print sysroot)/lib/rustlib/$1/lib"/libstd-*.rlib >/dev/null 2>&1
}

# WHAT, then cargo's arguments.
try() {
  local what=$1; shift
  echo "== $what"
  # shellcheck disable=SC2086 # several flags
  if cargo "$@" ${CROSS_FLAGS:-}; then done+=("$what"); else failed+=("$what"); fi
}

for target in "${@:-x86_64-pc-windows-gnu aarch64-apple-darwin wasm32-unknown-unknown}"; do
  for target in $target; do
    if ! has_std "$target"; then
      rustup target add "$target" >/dev/null 2>&1
      if ! has_std "$target"; then
        skipped+=("$target: no std for it (\`rustup target add $target\` failed; see the head of $0)")
        continue
      fi
    fi
    case $target in
    wasm32-*)
      # No command line in a browser.
      try "$target: library" check --quiet --lib --no-default-features --features emoji32 --target "$target"
      continue
      ;;
    *)
      try "$target: library, command line, C interface, tests" \
        check --quiet --all-targets --features capi --target "$target"
      ;;
    esac
    case $target in
    *-windows-gnu)
      mingw=
      for name in x86_64-w64-mingw32-gcc-posix x86_64-w64-mingw32-gcc; do
        if command -v "$name" >/dev/null 2>&1; then mingw=$name; break; fi
      done
      if [ -n "${CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER:-$mingw}" ]; then
        export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER="${CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER:-$mingw}"
        try "$target: undiffuse.exe, linked" build --quiet --bin undiffuse --target "$target"
      else
        skipped+=("$target: linking (no mingw: apt install gcc-mingw-w64-x86-64-posix)")
      fi
      ;;
    *-apple-*) skipped+=("$target: linking (wants Apple's SDK)") ;;
    esac
  done
done

echo
for line in ${done[@]+"${done[@]}"}; do echo "compiles  $line"; done
for line in ${skipped[@]+"${skipped[@]}"}; do echo "SKIPPED   $line"; done
for line in ${failed[@]+"${failed[@]}"}; do echo "FAILED    $line"; done
[ ${#failed[@]} = 0 ]
