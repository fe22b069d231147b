//! `UNet2DModel` of diffusers: the U-Net of DDPM, of NCSN++ (skip blocks) and of most
//! checkpoints that the `DDPMPipeline` loads.
//!
//! [`Config`] holds the official fields, [`layout`] turns them into a list of
//! blocks and checks every number, [`build`] adds the blocks to a graph.

mod build;
mod config;
pub mod layout;
#[cfg(test)]
mod tests;

pub use build::build;
pub use config::{Config, SampleSize};
pub use layout::Layout;

use super::{Beside, Description, Model, ModelError, Network, Times};
use crate::graph::Graph;
use crate::nn::TimeProjection;
use crate::shape::Shape;
use crate::weights::{Json, Weights};

/// The `_class_name` of these configurations.
pub const CLASS: &str = "UNet2DModel";

/// What tells one without the name.
pub const FIELDS: &[&str] = &["block_out_channels", "down_block_types", "sample_size", "in_channels"];

/// Reads and checks a configuration; `size` (height, width) replaces its `sample_size`.
///
/// # Errors
/// As [`Config::parse`] and [`Layout::new`].
pub fn open(json: &Json, size: Option<(usize, usize)>) -> Result<Box<dyn Model>, ModelError> {
    let mut config = Config::parse(json)?;
    if let Some((h, w)) = size {
        config.sample_size = Some(SampleSize::Both([h, w]));
    }
    let layout = Layout::new(&config)?;
    Ok(Box::new(Unet2d { config, layout }))
}

#[derive(Debug)]
struct Unet2d {
    config: Config,
    layout: Layout,
}

impl Model for Unet2d {
    fn describe(&self) -> Description {
        let layout = &self.layout;
        Description {
            architecture: CLASS,
            sample: Shape::new(layout.size.0, layout.size.1, layout.in_channels),
            out_channels: layout.out_channels,
            labels: layout.labels,
            times: match layout.time {
                TimeProjection::Positional { .. } => Times::Real,
                TimeProjection::Fourier { .. } => Times::Positive,
                TimeProjection::Learned { steps, .. } => Times::Whole { steps },
            },
            beside: Beside::Nothing,
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> Result<Network, ModelError> {
        build::assemble(&self.layout, weights, graph)
    }

    fn notes(&self) -> Vec<String> {
        self.config.notes()
    }
}
