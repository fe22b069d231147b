//! Errors for C: a code by who must act, and the same words that Rust gets.

use crate::diffusion::Error as DiffusionError;
use crate::engine::EngineError;
use crate::gpu::GpuError;
use crate::graph::GraphError;
use crate::models::ModelError;
use crate::pipeline::find::FindError;
use crate::pipeline::{chain, PipelineError};
use crate::weights::WeightsError;
use std::any::Any;
use std::cell::RefCell;
use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

/// What a call came to. The numbers stay as they are; later versions may add some, so
/// treat one that you do not know by its hundred.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum undiffuse_status {
    /// Done.
    UNDIFFUSE_OK = 0,
    /// Well so far; the job has more to do.
    UNDIFFUSE_MORE = 1,

    /// 100 to 199, the calling program: NULL where something is needed, text that is
    /// not UTF-8, a number out of range, a struct of an unknown size.
    UNDIFFUSE_ARGUMENT = 100,
    /// An option that does not fit the model or another option.
    UNDIFFUSE_OPTION = 101,
    /// The buffer has another length than the data.
    UNDIFFUSE_LENGTH = 102,
    /// The images asked for are not drawn yet.
    UNDIFFUSE_NOT_DRAWN = 103,
    /// No adapter or backend of that name.
    UNDIFFUSE_ADAPTER_NAME = 104,
    /// The job was stopped by undiffuse_job_cancel or by the callback.
    UNDIFFUSE_CANCELLED = 105,

    /// 200 to 299, whoever chose the model: no such embedded model, folder or file.
    UNDIFFUSE_MODEL_NOT_FOUND = 200,
    /// A file is damaged, or files do not belong together.
    UNDIFFUSE_MODEL_DAMAGED = 201,
    /// A model, a configuration or a number format that this library does not have.
    UNDIFFUSE_MODEL_UNSUPPORTED = 202,
    /// The network gave NaN or infinity.
    UNDIFFUSE_NOT_FINITE = 203,

    /// 300 to 399, the machine: no adapter answers; a driver is missing.
    UNDIFFUSE_NO_ADAPTER = 300,
    /// The adapter gave no device.
    UNDIFFUSE_NO_DEVICE = 301,
    /// The adapter is too small for the model.
    UNDIFFUSE_LIMIT = 302,
    /// The adapter or the budget is out of memory: use a smaller batch.
    UNDIFFUSE_MEMORY = 303,
    /// The device was lost: free everything, open the gpu again.
    UNDIFFUSE_DEVICE_LOST = 304,
    /// The adapter did not answer in time.
    UNDIFFUSE_TIMEOUT = 305,
    /// The system refused to read a file.
    UNDIFFUSE_IO = 306,

    /// A mistake in this library: please report it. The handle should be freed.
    UNDIFFUSE_INTERNAL = 900,
}

use undiffuse_status::*;

/// A status with its words.
#[derive(Debug)]
pub(super) struct Failure {
    pub status: undiffuse_status,
    pub message: String,
}

impl Failure {
    pub fn new(status: undiffuse_status, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub fn argument(message: impl Into<String>) -> Failure {
        Self::new(UNDIFFUSE_ARGUMENT, message)
    }
}

impl From<PipelineError> for Failure {
    fn from(e: PipelineError) -> Self {
        Self::new(of_pipeline(&e), chain(&e))
    }
}

impl From<GpuError> for Failure {
    fn from(e: GpuError) -> Self {
        Self::new(of_gpu(&e), chain(&e))
    }
}

fn of_pipeline(e: &PipelineError) -> undiffuse_status {
    match e {
        PipelineError::UnknownModel { .. } => UNDIFFUSE_MODEL_NOT_FOUND,
        PipelineError::Find(FindError::Cache { .. }) => UNDIFFUSE_MODEL_DAMAGED,
        PipelineError::Find(_) => UNDIFFUSE_MODEL_NOT_FOUND,
        PipelineError::Weights(e) => of_weights(e),
        PipelineError::Model(e) => of_model(e),
        PipelineError::Scheduler { error, .. } => of_diffusion(error),
        PipelineError::Sampler(e) => of_diffusion(e),
        PipelineError::Option { .. } | PipelineError::Metrics(_) => UNDIFFUSE_OPTION,
        PipelineError::Cancelled { .. } => UNDIFFUSE_CANCELLED,
        PipelineError::Engine(e) => of_engine(e),
        PipelineError::Gpu(e) => of_gpu(e),
    }
}

fn of_gpu(e: &GpuError) -> undiffuse_status {
    match e {
        GpuError::NoAdapter { .. } => UNDIFFUSE_NO_ADAPTER,
        GpuError::BackendNotHere { .. } | GpuError::AdapterNotFound { .. } | GpuError::UnknownBackend(_) => {
            UNDIFFUSE_ADAPTER_NAME
        }
        GpuError::Limit { .. } => UNDIFFUSE_LIMIT,
        GpuError::Device { .. } => UNDIFFUSE_NO_DEVICE,
        GpuError::OutOfMemory { .. } | GpuError::Budget { .. } => UNDIFFUSE_MEMORY,
        GpuError::Lost(_) => UNDIFFUSE_DEVICE_LOST,
        GpuError::Timeout { .. } => UNDIFFUSE_TIMEOUT,
        GpuError::Internal(_) => UNDIFFUSE_INTERNAL,
    }
}

fn of_weights(e: &WeightsError) -> undiffuse_status {
    match e {
        WeightsError::NotFound { .. } => UNDIFFUSE_MODEL_NOT_FOUND,
        WeightsError::Unsupported { .. } | WeightsError::Dtype { .. } => UNDIFFUSE_MODEL_UNSUPPORTED,
        WeightsError::Damaged { .. }
        | WeightsError::Json { .. }
        | WeightsError::TooLarge { .. }
        | WeightsError::Missing { .. }
        | WeightsError::Shape { .. }
        | WeightsError::NotFinite { .. }
        | WeightsError::Length { .. } => UNDIFFUSE_MODEL_DAMAGED,
        WeightsError::Io { .. } => UNDIFFUSE_IO,
    }
}

fn of_model(e: &ModelError) -> undiffuse_status {
    match e {
        ModelError::Config { .. } | ModelError::Class { .. } => UNDIFFUSE_MODEL_UNSUPPORTED,
        ModelError::Weights(e) => of_weights(e),
        ModelError::Graph(e) => of_graph(e),
    }
}

fn of_graph(e: &GraphError) -> undiffuse_status {
    match e {
        GraphError::Shape { .. } | GraphError::Size { .. } => UNDIFFUSE_MODEL_DAMAGED,
        GraphError::Weights(e) => of_weights(e),
        GraphError::Gpu(e) => of_gpu(e),
        GraphError::Unsupported(_) => UNDIFFUSE_MODEL_UNSUPPORTED,
        GraphError::NoTangent { .. } | GraphError::Internal(_) => UNDIFFUSE_INTERNAL,
    }
}

fn of_engine(e: &EngineError) -> undiffuse_status {
    match e {
        EngineError::Graph(e) => of_graph(e),
        EngineError::Gpu(e) => of_gpu(e),
        EngineError::NotFinite { .. } => UNDIFFUSE_NOT_FINITE,
        // Other tolerances may do.
        EngineError::NotDone { .. } => UNDIFFUSE_OPTION,
        EngineError::Program(_) | EngineError::Internal(_) => UNDIFFUSE_INTERNAL,
    }
}

fn of_diffusion(e: &DiffusionError) -> undiffuse_status {
    match e {
        DiffusionError::Json(_) => UNDIFFUSE_MODEL_DAMAGED,
        DiffusionError::Config { .. } | DiffusionError::Field { .. } => UNDIFFUSE_MODEL_UNSUPPORTED,
        DiffusionError::Option { .. } | DiffusionError::Unsupported { .. } => UNDIFFUSE_OPTION,
        DiffusionError::Program(_) | DiffusionError::Table(_) | DiffusionError::Run(_) => UNDIFFUSE_INTERNAL,
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Keeps the words of a failure for this thread.
fn remember(message: String) {
    let mut bytes = message.into_bytes();
    bytes.retain(|&b| b != 0);
    // On a thread that is ending there may be no place left: then the code is all.
    let _ = LAST.try_with(|last| *last.borrow_mut() = CString::new(bytes).unwrap_or_default());
}

/// Runs the body of a function of the interface: no panic leaves it.
pub(super) fn guard(body: impl FnOnce() -> Result<undiffuse_status, Failure>) -> undiffuse_status {
    guarded(UNDIFFUSE_INTERNAL, body).unwrap_or_else(|status| status)
}

/// [`guard`] for functions that return a value: `nothing` stands for a failure.
pub(super) fn guard_value<T>(nothing: T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    guarded(UNDIFFUSE_INTERNAL, body).unwrap_or(nothing)
}

fn guarded<T>(
    panicked: undiffuse_status,
    body: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, undiffuse_status> {
    // Whatever a panic leaves half-done lies behind a mutex, which it poisons.
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(failure)) => failure,
        Err(panic) => Failure::new(panicked, words(panic)),
    };
    remember(failure.message);
    Err(failure.status)
}

fn words(panic: Box<dyn Any + Send>) -> String {
    let said = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "a panic without words",
    };
    let text = format!("internal error (please report it): {said}");
    std::mem::forget(panic); // its destructor could panic again
    text
}

/// What went wrong in the last call on this thread that failed: what, where and what to
/// do, in English; "" where none did. Each thread has its own. Valid until the next call
/// that fails on this thread; never to be freed. Functions that return no status say
/// here why they returned NULL or 0.
#[no_mangle]
pub extern "C" fn undiffuse_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: the library's own text, read before the next call.
        unsafe { CStr::from_ptr(undiffuse_last_error()) }.to_str().unwrap().to_string()
    }

    #[test]
    fn a_panic_becomes_a_status() {
        assert_eq!(guard(|| panic!("the {} broke", "axle")), UNDIFFUSE_INTERNAL);
        assert_eq!(last(), "internal error (please report it): the axle broke");
        assert_eq!(guard_value(7, || std::panic::panic_any(3)), 7);
        assert!(last().contains("without words"));
        assert_eq!(guard(|| Ok(UNDIFFUSE_MORE)), UNDIFFUSE_MORE);
        assert!(last().contains("without words"), "a success leaves the last error");
    }

    #[test]
    fn the_words_are_the_threads_own() {
        guard(|| Err(Failure::argument("here\0, on this thread")));
        assert_eq!(std::thread::spawn(last).join().unwrap(), "");
        assert_eq!(last(), "here, on this thread");
    }
}
