//! What can go wrong for an application.

use std::path::PathBuf;

/// Errors of pipelines and jobs: those of the floors below, and their own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// No such embedded model.
    #[error("no embedded model `{name}` and no folder of that name; embedded: {}", super::embedded::names())]
    UnknownModel {
        /// The name asked for.
        name: String,
    },
    /// No model of the name.
    #[error(transparent)]
    Find(#[from] super::find::FindError),
    /// The model folder is wrong.
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
    /// The model's configuration is wrong or not supported.
    #[error(transparent)]
    Model(#[from] crate::models::ModelError),
    /// The scheduler's configuration is wrong or not supported.
    #[error("{}: {}", path.display(), without_file(error))]
    Scheduler {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<crate::diffusion::Error>,
    },
    /// An option does not fit the sampler.
    #[error(transparent)]
    Sampler(#[from] crate::diffusion::Error),
    /// An option does not fit the model.
    #[error("{option}: {what}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong and what to do.
        what: String,
    },
    /// The job was stopped by its [`Canceller`](super::Canceller).
    #[error("the job was cancelled with {images} of {count} images drawn; take() hands these over")]
    Cancelled {
        /// Images that are drawn.
        images: usize,
        /// Images that were asked for.
        count: usize,
    },
    /// Statistics that cannot be had of these pictures.
    #[error(transparent)]
    Metrics(#[from] crate::metrics::MetricsError),
    /// Planning or running failed.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
}

/// An error of the schedule without the file's name, which the path before it ends with.
fn without_file(error: &crate::diffusion::Error) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix("scheduler_config.json").unwrap_or(&text);
    rest.trim_start_matches([':', ' ']).to_owned()
}

/// An error and what caused it, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = e.source();
    }
    text
}
