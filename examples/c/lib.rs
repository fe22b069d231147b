//! The C interface as a library of its own, for `tests/capi.rs`. `make capi` builds
//! what is meant to be installed.
pub use undiffuse::capi::*;
