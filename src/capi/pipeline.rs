//! A model on a device.

use super::arguments::{handle, optional_text, place};
use super::gpu::undiffuse_gpu;
use super::status::{guard, guard_value, undiffuse_status, Failure};
use crate::pipeline::{Model, Pipeline};
use std::ffi::{c_char, CString};
use std::ptr::null;

/// A model on a device. Any number of threads may use it at once. It may be freed while
/// jobs made with it are still there.
pub struct undiffuse_pipeline {
    pub(super) pipeline: Pipeline,
    classes: Vec<CString>,
}

/// Puts a model on a device: `model` is the name of an embedded one ("emoji32"), a folder
/// as diffusers saves it, "zoo/NAME", or "OWNER/NAME" in the Hugging Face cache, in UTF-8.
/// Reads files, sends weights, compiles: this may take seconds. Sets `*out`, to NULL where it
/// fails.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_pipeline_open(
    gpu: *const undiffuse_gpu,
    model: *const c_char,
    out: *mut *mut undiffuse_pipeline,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let (out, gpu, model) = unsafe { (place(out)?, handle("gpu", gpu)?, optional_text("model", model)?) };
        let model = model.ok_or_else(|| Failure::argument("model is NULL: name a model or a folder"))?;
        let pipeline = Pipeline::new(&gpu.gpu, Model::find(model)?, |_, _| {})?;
        let names = pipeline.classes();
        let classes = names.into_iter().map(|n| CString::new(n.replace('\0', "")).unwrap_or_default());
        let made = undiffuse_pipeline { classes: classes.collect(), pipeline };
        *out = Box::into_raw(Box::new(made));
        Ok(undiffuse_status::UNDIFFUSE_OK)
    })
}

/// The width of its images in pixels; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_pipeline_width(pipeline: *const undiffuse_pipeline) -> u32 {
    // SAFETY: the contract of the interface.
    guard_value(0, || Ok(unsafe { handle("pipeline", pipeline) }?.pipeline.model().image().w as u32))
}

/// The height of its images in pixels; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_pipeline_height(pipeline: *const undiffuse_pipeline) -> u32 {
    // SAFETY: the contract of the interface.
    guard_value(0, || Ok(unsafe { handle("pipeline", pipeline) }?.pipeline.model().image().h as u32))
}

/// How many classes it draws; 0 where it knows of none, and for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_pipeline_class_count(pipeline: *const undiffuse_pipeline) -> usize {
    // SAFETY: the contract of the interface.
    guard_value(0, || Ok(unsafe { handle("pipeline", pipeline) }?.classes.len()))
}

/// The name of a class, its number where the model gives none: what
/// undiffuse_options.class_name takes. Valid as long as the handle; NULL where there is no
/// such class.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_pipeline_class_name(
    pipeline: *const undiffuse_pipeline,
    index: usize,
) -> *const c_char {
    guard_value(null(), || {
        // SAFETY: the contract of the interface.
        let classes = &unsafe { handle("pipeline", pipeline) }?.classes;
        let name = classes.get(index);
        let none = || Failure::argument(format!("no class {index}: there are {}", classes.len()));
        Ok(name.ok_or_else(none)?.as_ptr())
    })
}

/// Frees a pipeline; NULL is nothing to free.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_pipeline_free(pipeline: *mut undiffuse_pipeline) {
    guard_value((), || {
        if !pipeline.is_null() {
            // SAFETY: made by `Box::into_raw` and, by the contract, not yet freed.
            drop(unsafe { Box::from_raw(pipeline) });
        }
        Ok(())
    });
}
