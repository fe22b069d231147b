//! A device.

use super::arguments::{handle, optional_text, place};
use super::status::{guard, guard_value, undiffuse_status};
use crate::gpu::{Gpu, Options};
use std::ffi::{c_char, CString};
use std::ptr::null;

/// A device. Any number of threads may use it at once. It may be freed while pipelines
/// made with it are still there.
pub struct undiffuse_gpu {
    pub(super) gpu: Gpu,
    name: CString,
}

/// Opens a device. `adapter` is a part of its name (any case) or its number, NULL for the
/// best; `backend` is "vulkan", "metal" or "dx12", NULL for all. Sets `*out`, to NULL
/// where it fails.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_gpu_open(
    adapter: *const c_char,
    backend: *const c_char,
    out: *mut *mut undiffuse_gpu,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let (out, adapter, backend) =
            unsafe { (place(out)?, optional_text("adapter", adapter)?, optional_text("backend", backend)?) };
        let options = Options {
            adapter: adapter.map(Into::into),
            backend: backend.map(Into::into),
            ..Options::default()
        };
        let gpu = Gpu::open(&options)?;
        let name = CString::new(gpu.info().name.replace('\0', "")).unwrap_or_default();
        *out = Box::into_raw(Box::new(undiffuse_gpu { gpu, name }));
        Ok(undiffuse_status::UNDIFFUSE_OK)
    })
}

/// The adapter's name, valid as long as the handle; NULL for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_gpu_name(gpu: *const undiffuse_gpu) -> *const c_char {
    // SAFETY: the contract of the interface.
    guard_value(null(), || Ok(unsafe { handle("gpu", gpu) }?.name.as_ptr()))
}

/// Sets how many bytes of memory the library may have on this device, over all its
/// pipelines and jobs; UINT64_MAX lifts the limit.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_gpu_set_memory_budget(
    gpu: *const undiffuse_gpu,
    bytes: u64,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let gpu = unsafe { handle("gpu", gpu) }?;
        gpu.gpu.set_memory_budget((bytes != u64::MAX).then_some(bytes));
        Ok(undiffuse_status::UNDIFFUSE_OK)
    })
}

/// Frees a device; NULL is nothing to free.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_gpu_free(gpu: *mut undiffuse_gpu) {
    guard_value((), || {
        if !gpu.is_null() {
            // SAFETY: made by `Box::into_raw` and, by the contract, not yet freed.
            drop(unsafe { Box::from_raw(gpu) });
        }
        Ok(())
    });
}
