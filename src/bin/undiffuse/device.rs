//! The device of a command: opened, with what was learnt of it on this machine.

use undiffuse::gpu::{cache_folder, Gpu, GpuError, Options, Tuning};

/// Opens the adapter with the pipelines that were kept, and takes its tuning in, where there is one (`undiffuse tune`,
/// `undiffuse doctor`). A file that cannot be used is told of once and does no harm.
pub fn open(options: &Options) -> Result<Gpu, GpuError> {
    let gpu = Gpu::open(options)?;
    let Some(folder) = cache_folder() else { return Ok(gpu) };
    let (tuning, warning) = Tuning::load(&folder, &gpu);
    if let Some(warning) = warning {
        say!("warning: {warning}; `undiffuse tune` and `undiffuse doctor` write it anew");
    }
    if let Some(warning) = gpu.load_pipelines(&folder) {
        say!("warning: {warning}; it is written anew");
    }
    Ok(gpu.with_choices(tuning.choices()))
}

/// Keeps what the driver compiled for the next process, where it lets it be kept. That it
/// cannot be is none of a user's business.
pub fn keep(gpu: &Gpu) {
    if let Some(Err(e)) = cache_folder().map(|folder| gpu.keep_pipelines(&folder)) {
        tracing::debug!(%e, "pipelines are not kept");
    }
}
