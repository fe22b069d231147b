//! The networks of score_sde (Song et al. 2021, arXiv:2011.13456): NCSN++, DDPM++ and its DDPM.
//!
//! The configuration is the reference's, its groups `model` and `data` as objects, with the
//! reference's own field names. The network takes `sample` and, as `timestep`, what the
//! reference calls the labels: `999 t` for VP and sub-VP in continuous time, `sigma(t)` for VE
//! in continuous time, the number of the step in discrete time.

use super::options::{Blocks, Checker, List, Sizes};
use super::{Beside, Description, Labels, Model, ModelError, Network, Times};
use crate::graph::Graph;
use crate::nn::{Builder, Embedding, Ncsnpp, Result};
use crate::shape::Shape;
use crate::weights::{Json, Param, Weights};
use serde::Deserialize;

/// The `_class_name` of these configurations, where they have one.
pub const CLASS: &str = "ScoreSde";

/// What tells one without the name.
pub const FIELDS: &[&str] = &["model"];

/// The fields that are read.
#[derive(Clone, Debug, Deserialize)]
struct Config {
    data: Data,
    model: Fields,
}

#[derive(Clone, Debug, Deserialize)]
struct Data {
    image_size: usize,
    #[serde(default = "three")]
    num_channels: usize,
    #[serde(default)]
    centered: bool,
}

fn three() -> usize {
    3
}

#[derive(Clone, Debug, Deserialize)]
struct Fields {
    name: String,
    nf: usize,
    ch_mult: List,
    num_res_blocks: usize,
    attn_resolutions: List,
    #[serde(default)]
    fir: bool,
    #[serde(default)]
    scale_by_sigma: bool,
    #[serde(default = "sigma_min")]
    sigma_min: f64,
    #[serde(default = "sigma_max")]
    sigma_max: f64,
    #[serde(default = "thousand")]
    num_scales: usize,
    #[serde(flatten)]
    blocks: Blocks,
}

fn sigma_min() -> f64 {
    0.01
}

fn sigma_max() -> f64 {
    50.0
}

fn thousand() -> usize {
    1000
}

/// A checked configuration.
#[derive(Debug)]
struct ScoreSde {
    net: Ncsnpp,
    sample: Shape,
    centered: bool,
    /// Descending from `sigma_max`, where the output is divided by them.
    by_sigma: Option<Sigmas>,
}

#[derive(Clone, Copy, Debug)]
struct Sigmas {
    min: f64,
    max: f64,
    count: usize,
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`ModelError::Config`] with the field, [`ModelError::Weights`] for what is not JSON.
pub fn open(json: &Json, size: Option<(usize, usize)>) -> std::result::Result<Box<dyn Model>, ModelError> {
    let config: Config = json.parse()?;
    let (check, model) = (Checker::new(&json.path), &config.model);
    let side = config.data.image_size;
    check.size("image_size", side, size)?;
    let sizes = Sizes {
        image_size: side,
        channels: config.data.num_channels,
        nf: model.nf,
        ch_mult: &model.ch_mult.0,
        num_res_blocks: model.num_res_blocks,
        attn_resolutions: &model.attn_resolutions.0,
        fir: model.fir,
        embedding: (model.nf, 1.0),
    };
    let net = match check.word("name", &model.name, &[("ncsnpp", true), ("ddpm", false)])? {
        true => model.blocks.network(&check, &sizes)?,
        false => model.blocks.ddpm(&check, &sizes)?,
    };
    if model.scale_by_sigma {
        check.finite("sigma_max", model.sigma_max)?;
        if !(model.sigma_min > 0.0 && model.sigma_max >= model.sigma_min) {
            return Err(check.error("sigma_min", "0 < sigma_min <= sigma_max is needed"));
        }
        check.count("num_scales", model.num_scales, 1 << 20)?;
    }
    let sigmas = Sigmas { min: model.sigma_min, max: model.sigma_max, count: model.num_scales };
    Ok(Box::new(ScoreSde {
        net,
        sample: Shape::new(side, side, config.data.num_channels),
        centered: config.data.centered,
        by_sigma: model.scale_by_sigma.then_some(sigmas),
    }))
}

impl Sigmas {
    /// The buffer `sigmas` of a checkpoint, by its formula.
    fn table(self) -> Param {
        let (low, high, steps) = (self.min.ln(), self.max.ln(), (self.count.max(2) - 1) as f64);
        Param::lazy(format!("sigmas {low} {high}"), &[self.count, 1], move || {
            (0..self.count).map(|i| (high + (low - high) * i as f64 / steps).exp() as f32).collect()
        })
    }
}

impl ScoreSde {
    fn network(&self, b: &mut Builder<'_>) -> Result<Network> {
        let sample = b.graph.input("sample", self.sample)?;
        let timestep = b.graph.input("timestep", Shape::vector(1))?;
        let image = if self.centered { sample } else { b.graph.affine(sample, 2.0, -1.0)? };
        let mut output = self.net.build(b, image, timestep, None)?;
        if let Some(sigmas) = self.by_sigma {
            let sigma = match self.net.embedding {
                Embedding::Fourier => timestep,
                Embedding::Positional { .. } => b.graph.embedding(timestep, &sigmas.table())?,
            };
            output = b.graph.div_image(output, sigma)?;
        }
        b.graph.output("output", output);
        Ok(Network { sample, timestep, class_labels: None, beside: None, output })
    }
}

impl Model for ScoreSde {
    fn describe(&self) -> Description {
        Description {
            architecture: CLASS,
            sample: self.sample,
            out_channels: self.sample.c,
            labels: Labels::None,
            times: match self.net.embedding {
                Embedding::Fourier => Times::Positive,
                Embedding::Positional { .. } => Times::Real,
            },
            beside: Beside::Nothing,
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> std::result::Result<Network, ModelError> {
        Ok(self.network(&mut Builder::new(graph, weights))?)
    }
}
