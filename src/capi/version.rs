//! Which library this is.

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
