//! The library for C and whatever speaks C: `include/undiffuse.h` is made from
//! this module. Feature `capi`, off by default.
//!
//! Every function checks what C can check: NULL, text that is not UTF-8, lengths,
//! the size of a struct. None lets a panic out. What it cannot check is a contract,
//! the same for all: a pointer that is not NULL points to what its type says, handles
//! come from this library and are not used after they were freed, text ends with 0.
#![allow(non_camel_case_types, clippy::missing_safety_doc)] // C's names; the contract is above

mod arguments;
mod gpu;
mod job;
mod options;
mod pipeline;
mod status;

pub use gpu::*;
pub use job::*;
pub use options::*;
pub use pipeline::*;
pub use status::*;

use std::ffi::c_char;

/// The version of this interface. It grows when something is added; a program that was
/// compiled against an older header goes on to work.
pub const UNDIFFUSE_ABI_VERSION: u32 = 1;

/// The UNDIFFUSE_ABI_VERSION of the library that was loaded: not less than the header's
/// if everything in the header is to be there.
#[no_mangle]
pub extern "C" fn undiffuse_abi_version() -> u32 {
    UNDIFFUSE_ABI_VERSION
}

/// The library's version, as "0.1.0". Valid for ever.
#[no_mangle]
pub extern "C" fn undiffuse_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
