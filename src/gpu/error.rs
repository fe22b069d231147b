//! What can go wrong between the engine and an adapter.

use std::time::Duration;

/// Errors of adapters and devices. Variants by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The machine has no usable adapter: install a driver.
    #[error(
        "no GPU adapter answers on {backends}. Install a graphics driver; \
         on Debian or Ubuntu `apt install mesa-vulkan-drivers` gives a software one (lavapipe)"
    )]
    NoAdapter {
        /// The backends that were asked.
        backends: String,
    },
    /// The caller named a backend that this system does not have.
    #[error("no {wanted} on this system; it has {present}: choose one of these, or leave --backend out")]
    BackendNotHere {
        /// The backend asked for.
        wanted: String,
        /// What there is.
        present: String,
    },
    /// The caller asked for an adapter that is not there.
    #[error("no adapter matches `{wanted}`; present: {present}. `undiffuse info` lists them")]
    AdapterNotFound {
        /// The name or number asked for.
        wanted: String,
        /// What there is.
        present: String,
    },
    /// The caller named a backend that does not exist.
    #[error("no backend `{0}`; choose vulkan, metal, dx12 or webgpu")]
    UnknownBackend(String),
    /// The adapter is too small for what the model needs.
    #[error("adapter {adapter}: {what} needs {limit} = {wanted}, the adapter has {found}. {advice}")]
    Limit {
        /// The adapter's name.
        adapter: String,
        /// What needs it: a tensor, a kernel.
        what: String,
        /// The WebGPU limit.
        limit: &'static str,
        /// What is needed.
        wanted: u64,
        /// What there is.
        found: u64,
        /// What to do.
        advice: &'static str,
    },
    /// The adapter refused to give a device.
    #[error("adapter {adapter} gave no device: {message}. Another adapter can be chosen with --adapter")]
    Device {
        /// The adapter's name.
        adapter: String,
        /// The driver's words.
        message: String,
    },
    /// Memory ran out: use a smaller batch.
    #[error("the adapter is out of memory at {what} ({bytes} bytes): use a smaller --batch")]
    OutOfMemory {
        /// What was being created.
        what: String,
        /// How large it is.
        bytes: u64,
    },
    /// The budget of memory is used up: use a smaller batch or a larger budget.
    #[error(
        "{what} needs {}, and {} of the {} MiB that the engine may have are taken: \
         use a smaller --batch or a larger memory budget (--memory)",
        size(*bytes), size(*used), limit >> 20
    )]
    Budget {
        /// What was to be allocated.
        what: String,
        /// Its bytes.
        bytes: u64,
        /// Bytes in use.
        used: u64,
        /// The budget in bytes.
        limit: u64,
    },
    /// The device was lost: the job must be started again on a new device.
    #[error("the GPU device was lost ({0}): open it again and restart the job")]
    Lost(String),
    /// The adapter did not finish in time.
    #[error("the adapter did not finish {what} within {} s: it hangs, or needs a smaller --batch", deadline.as_secs())]
    Timeout {
        /// What was awaited.
        what: &'static str,
        /// How long.
        deadline: Duration,
    },
    /// A mistake in this library; please report it.
    #[error("internal error (please report it): {0}")]
    Internal(String),
}

impl From<crate::kernels::reflect::ShaderError> for GpuError {
    fn from(e: crate::kernels::reflect::ShaderError) -> Self {
        GpuError::Internal(e.to_string())
    }
}

/// Bytes for a person.
fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}
