//! What C hands over, checked.

use super::status::Failure;
use std::ffi::{c_char, CStr};

/// A text that may be left out.
///
/// # Safety
/// Not NULL means a text that ends with 0 and stays while the result is used.
pub(super) unsafe fn optional_text<'a>(name: &str, text: *const c_char) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(e) => Err(Failure::argument(format!("{name} is not UTF-8 from byte {} on", e.valid_up_to()))),
    }
}

/// A handle, or an error where it is NULL.
///
/// # Safety
/// Not NULL means a live handle of this library.
pub(super) unsafe fn handle<'a, T>(name: &str, pointer: *const T) -> Result<&'a T, Failure> {
    // SAFETY: NULL gives None; else the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| Failure::argument(format!("{name} is NULL")))
}

/// The place for a result, set to NULL first.
///
/// # Safety
/// Not NULL means a place for a pointer that nobody else uses meanwhile.
pub(super) unsafe fn place<'a, T>(out: *mut *mut T) -> Result<&'a mut *mut T, Failure> {
    // SAFETY: NULL gives None; else the caller's promise.
    let out = unsafe { out.as_mut() };
    let out = out.ok_or_else(|| Failure::argument("out is NULL: there is no place for the result"))?;
    *out = std::ptr::null_mut();
    Ok(out)
}

/// Writes the first `size` bytes of `value`, and zeros where C's struct is larger.
///
/// # Safety
/// `to` is not NULL and has room for `size` bytes. `T` has no padding.
pub(super) unsafe fn write_struct<T: Copy>(value: &T, to: *mut T, size: usize) {
    let known = size.min(size_of::<T>());
    // SAFETY: both sides are valid for `known` bytes, `to` for `size`; bytes need no alignment.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast::<u8>(), to.cast::<u8>(), known);
        to.cast::<u8>().add(known).write_bytes(0, size - known);
    }
}
