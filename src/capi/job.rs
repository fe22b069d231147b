//! Drawing: a job, its progress, its pixels.

use super::arguments::{handle, place, write_struct};
use super::options::undiffuse_options;
use super::pipeline::undiffuse_pipeline;
use super::status::{guard, guard_value, undiffuse_status, Failure};
use crate::pipeline::{Canceller, Job, PipelineError, Progress};
use image::RgbImage;
use std::ffi::{c_char, c_int, c_void, CString};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use undiffuse_status::*;

/// A run of a sampler. Every function but undiffuse_job_free may be called from any
/// thread at any time: calls wait for each other, only undiffuse_job_cancel never waits.
/// It must be freed once, when no other call on it is under way.
pub struct undiffuse_job {
    state: Mutex<State>,
    canceller: Canceller,
    width: u32,
    height: u32,
}

struct State {
    job: Job,
    images: Vec<RgbImage>,
}

/// How far a job is. Later versions add members at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct undiffuse_progress {
    /// Images that are drawn: undiffuse_job_pixels gives them.
    pub images: u64,
    /// Images in all.
    pub count: u64,
    /// Steps of the present batch that are submitted.
    pub step: u64,
    /// Steps of a batch.
    pub steps: u64,
    /// From 0 to 1, over all batches.
    pub fraction: f64,
}

/// Told by undiffuse_job_run how far it is. Returns 0 to go on, anything else to stop. It
/// runs on the thread that called undiffuse_job_run, may call any function on the job but
/// undiffuse_job_free, and must return: no longjmp, no exception.
pub type undiffuse_callback =
    Option<unsafe extern "C" fn(progress: *const undiffuse_progress, user: *mut c_void) -> c_int>;

/// What one submission should take while nobody gives a budget.
const CHUNK: Duration = Duration::from_millis(100);

impl From<Progress> for undiffuse_progress {
    fn from(p: Progress) -> Self {
        undiffuse_progress {
            images: p.images as u64,
            count: p.count as u64,
            step: p.step as u64,
            steps: p.steps as u64,
            fraction: p.fraction(),
        }
    }
}

impl undiffuse_job {
    fn lock(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let broken = "internal error (please report it): an earlier call on this job failed inside; free it";
        self.state.lock().map_err(|_| Failure::new(UNDIFFUSE_INTERNAL, broken))
    }

    /// Goes on for about `budget`; `None` at the end.
    fn advance(&self, budget: Duration) -> Result<Option<undiffuse_progress>, Failure> {
        let mut state = self.lock()?;
        let went = state.job.advance(budget);
        let new = state.job.take();
        state.images.extend(new);
        match went {
            Ok(progress) => Ok(progress.map(Into::into)),
            Err(PipelineError::Cancelled { images, count }) => Err(Failure::new(
                UNDIFFUSE_CANCELLED,
                format!(
                    "the job was cancelled with {images} of {count} images drawn; \
                     undiffuse_job_pixels gives these"
                ),
            )),
            Err(e) => Err(e.into()),
        }
    }
}

/// Plans a job and puts what it needs on the device; nothing is drawn yet. `options` NULL
/// takes the defaults. Sets `*out`, to NULL where it fails.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_start(
    pipeline: *const undiffuse_pipeline,
    options: *const undiffuse_options,
    out: *mut *mut undiffuse_job,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface; `read` is given no NULL.
        let (out, pipeline, options) = unsafe {
            let (out, pipeline) = (place(out)?, handle("pipeline", pipeline)?);
            let options = match options.is_null() {
                true => undiffuse_options::default(),
                false => undiffuse_options::read(options)?,
            };
            (out, pipeline, options.sample()?)
        };
        let job = pipeline.pipeline.sample(&options)?;
        let shape = pipeline.pipeline.model().image();
        *out = Box::into_raw(Box::new(undiffuse_job {
            canceller: job.canceller(),
            state: Mutex::new(State { job, images: Vec::new() }),
            width: shape.w as u32,
            height: shape.h as u32,
        }));
        Ok(UNDIFFUSE_OK)
    })
}

/// Submits work for about `milliseconds` (0 or more) and returns UNDIFFUSE_MORE, or
/// UNDIFFUSE_OK once all images are drawn. Where the device is busy with earlier work it
/// waits, but no longer than `milliseconds`: call it once a frame, or in a loop. After an
/// error the images drawn before it are still there.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_advance(
    job: *const undiffuse_job,
    milliseconds: f64,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let job = unsafe { handle("job", job) }?;
        let budget = Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(|_| {
            Failure::argument(format!("milliseconds = {milliseconds}: give a number from 0 on"))
        })?;
        Ok(if job.advance(budget)?.is_some() { UNDIFFUSE_MORE } else { UNDIFFUSE_OK })
    })
}

/// Draws to the end, telling `callback` (may be NULL) about ten times a second how far it
/// is. UNDIFFUSE_CANCELLED where it returned another value than 0, or where another thread
/// cancelled.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_run(
    job: *const undiffuse_job,
    callback: undiffuse_callback,
    user: *mut c_void,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let job = unsafe { handle("job", job) }?;
        while let Some(progress) = job.advance(CHUNK)? {
            let Some(callback) = callback else { continue };
            // The job is not locked here: the callback may ask it for its images.
            // SAFETY: a function of this type, by the contract; the pointer lives through the call.
            if unsafe { callback(&progress, user) } != 0 {
                job.canceller.cancel();
            }
        }
        Ok(UNDIFFUSE_OK)
    })
}

/// Stops a job, from any thread and at any time but during or after undiffuse_job_free: it
/// submits nothing more, and its next or present advance or run returns
/// UNDIFFUSE_CANCELLED. Does not wait. A job that has drawn everything keeps its images.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_cancel(job: *const undiffuse_job) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        unsafe { handle("job", job) }?.canceller.cancel();
        Ok(UNDIFFUSE_OK)
    })
}

/// How far a job is. `size` is sizeof(undiffuse_progress).
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_progress(
    job: *const undiffuse_job,
    progress: *mut undiffuse_progress,
    size: usize,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let job = unsafe { handle("job", job) }?;
        if progress.is_null() {
            return Err(Failure::argument("progress is NULL"));
        }
        if size == 0 || size > 4096 {
            return Err(Failure::argument(format!("size = {size}: give sizeof(undiffuse_progress)")));
        }
        let value = undiffuse_progress::from(job.lock()?.job.progress());
        // SAFETY: not NULL and, by the contract, `size` bytes large; five members of 8 bytes, no padding.
        unsafe { write_struct(&value, progress, size) };
        Ok(UNDIFFUSE_OK)
    })
}

/// The width of an image in pixels; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_width(job: *const undiffuse_job) -> u32 {
    // SAFETY: the contract of the interface.
    guard_value(0, || Ok(unsafe { handle("job", job) }?.width))
}

/// The height of an image in pixels; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_height(job: *const undiffuse_job) -> u32 {
    // SAFETY: the contract of the interface.
    guard_value(0, || Ok(unsafe { handle("job", job) }?.height))
}

/// How many images are drawn so far; 0 for NULL.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_image_count(job: *const undiffuse_job) -> u64 {
    // SAFETY: the contract of the interface.
    guard_value(0, || Ok(unsafe { handle("job", job) }?.lock()?.images.len() as u64))
}

/// Copies `count` images from `first` on (0 is the job's first) to `pixels`: RGBA, a byte
/// each, alpha 255, sRGB; rows from the top, without gaps, image after image. `length` is
/// the size of the buffer in bytes and must be count * width * height * 4.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_pixels(
    job: *const undiffuse_job,
    first: u64,
    count: u64,
    pixels: *mut u8,
    length: usize,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let job = unsafe { handle("job", job) }?;
        if pixels.is_null() {
            return Err(Failure::argument("pixels is NULL"));
        }
        let state = job.lock()?;
        let drawn = state.images.len();
        let range = usize::try_from(first).ok().zip(first.checked_add(count).and_then(|e| e.try_into().ok()));
        let Some(images) = range.and_then(|(from, to): (usize, usize)| state.images.get(from..to)) else {
            return Err(Failure::new(
                UNDIFFUSE_NOT_DRAWN,
                format!("{count} images from {first} on were asked for, {drawn} are drawn"),
            ));
        };
        // Images are in memory: their sizes multiplied fit.
        let wanted = images.len() * job.width as usize * job.height as usize * 4;
        if length != wanted {
            return Err(Failure::new(
                UNDIFFUSE_LENGTH,
                format!(
                    "the buffer has {length} bytes, {count} images of {} x {} RGBA pixels have {wanted}",
                    job.width, job.height
                ),
            ));
        }
        let rgba = images.iter().flat_map(|i| i.pixels()).flat_map(|p| [p[0], p[1], p[2], 255]);
        for (i, byte) in rgba.take(wanted).enumerate() {
            // SAFETY: i < wanted = length, the size of the buffer by the contract. It may be
            // uninitialised: it is only written to.
            unsafe { pixels.add(i).write(byte) };
        }
        Ok(UNDIFFUSE_OK)
    })
}

/// What was done so far, as a JSON object: adapter, sampler, steps, seconds, bytes and
/// more. Sets `*out` to a text that undiffuse_string_free frees, to NULL where it fails.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_report(
    job: *const undiffuse_job,
    out: *mut *mut c_char,
) -> undiffuse_status {
    guard(|| {
        // SAFETY: the contract of the interface.
        let (out, job) = unsafe { (place(out)?, handle("job", job)?) };
        let internal = |e: &dyn std::fmt::Display| Failure::new(UNDIFFUSE_INTERNAL, e.to_string());
        let json = serde_json::to_string(&job.lock()?.job.report()).map_err(|e| internal(&e))?;
        *out = CString::new(json).map_err(|e| internal(&e))?.into_raw();
        Ok(UNDIFFUSE_OK)
    })
}

/// Frees a job, drawn or not; NULL is nothing to free. Work on the device ends by itself.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_job_free(job: *mut undiffuse_job) {
    guard_value((), || {
        if !job.is_null() {
            // SAFETY: made by `Box::into_raw` and, by the contract, not yet freed.
            drop(unsafe { Box::from_raw(job) });
        }
        Ok(())
    });
}

/// Frees a text that this library made; NULL is nothing to free.
#[no_mangle]
pub unsafe extern "C" fn undiffuse_string_free(text: *mut c_char) {
    guard_value((), || {
        if !text.is_null() {
            // SAFETY: made by `CString::into_raw` and, by the contract, not yet freed.
            drop(unsafe { CString::from_raw(text) });
        }
        Ok(())
    });
}
