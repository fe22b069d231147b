# `make sample` and `make test` do all their own set-up on Debian or Ubuntu with Rust.

COUNT ?= 24
OUT ?= undiffuse.png
PREFIX ?= /usr/local

# Mesa's device-select layer complains on stderr where a machine has no screen.
export NODEVICE_SELECT ?= 1

.PHONY: sample test check driver screen shaders browser capi cross doc

# 24 pictures with the embedded model, as one PNG grid.
sample: driver
	cargo build --release --bin undiffuse
	./target/release/undiffuse sample --model emoji32 --count $(COUNT) --sampler ddim --steps 20 \
		--guidance-scale 1.5 --class all --zoom 4 --out $(OUT)

# Everything, on whatever adapter is there (lavapipe where there is no GPU).
test: driver screen
	cargo test --quiet --no-fail-fast --features capi

# What CI runs.
check: test
	cargo fmt --check
	cargo clippy --all-targets --features capi -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet --features capi

# Installs a software Vulkan driver if no driver answers.
driver:
	@sh tools/driver.sh

# Installs a virtual screen for the test of the window, where there is none.
screen:
	@sh tools/screen.sh

# Every shader variant through DirectX's and AMD's real compilers (not part of `make test`).
shaders:
	sh tools/compilers.sh

# The trilemma's report, opened in a browser without a screen (not part of `make test`).
browser: driver
	@sh tools/browser.sh
	cargo test --quiet --features capi --test evaluate -- --ignored browser

# The library for C, with header and pkg-config file: `make capi PREFIX=/somewhere`.
capi:
	sh tools/capi.sh $(PREFIX)

# Does it compile for Windows, macOS and browsers? (Not part of `make test`.)
cross:
	bash tools/cross.sh

doc:
	cargo doc --no-deps --open
