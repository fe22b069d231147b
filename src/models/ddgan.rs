//! The generator of denoising diffusion GANs (Xiao et al. 2022, arXiv:2112.07804).
//!
//! `sample` is `x_t`, `timestep` the number of the step from 0, `z` a vector of normal noise;
//! `output` is a sample of `x_0`. The configuration holds the reference's command-line flags.

use super::options::{Blocks, Checker, List, Sizes};
use super::{Beside, Description, Labels, Model, ModelError, Network, Times};
use crate::graph::{Act, Graph, Tensor};
use crate::nn::{Builder, Ncsnpp, Result};
use crate::shape::Shape;
use crate::weights::{Json, Weights};
use serde::Deserialize;

/// The `_class_name` of these configurations, where they have one.
pub const CLASS: &str = "DenoisingDiffusionGan";

/// What tells one without the name.
pub const FIELDS: &[&str] = &["nz", "z_emb_dim"];

/// Added to the mean square of z.
const PIXEL_NORM_EPS: f64 = 1e-8;

/// The fields that are read, with the flags' defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Config {
    image_size: usize,
    num_channels: usize,
    centered: bool,
    num_channels_dae: usize,
    ch_mult: List,
    num_res_blocks: usize,
    attn_resolutions: List,
    fir: bool,
    nz: usize,
    z_emb_dim: usize,
    n_mlp: usize,
    not_use_tanh: bool,
    num_timesteps: usize,
    #[serde(flatten)]
    blocks: Blocks,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            image_size: 32,
            num_channels: 3,
            centered: true,
            num_channels_dae: 128,
            ch_mult: List(vec![1, 2, 2, 2]),
            num_res_blocks: 2,
            attn_resolutions: List(vec![16]),
            fir: true,
            nz: 100,
            z_emb_dim: 256,
            n_mlp: 3,
            not_use_tanh: false,
            num_timesteps: 4,
            blocks: Blocks::default(),
        }
    }
}

/// A checked configuration.
#[derive(Debug)]
struct Ddgan {
    net: Ncsnpp,
    sample: Shape,
    centered: bool,
    nz: usize,
    z_emb_dim: usize,
    n_mlp: usize,
    tanh: bool,
    steps: usize,
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`ModelError::Config`] with the field, [`ModelError::Weights`] for what is not JSON.
pub fn open(json: &Json, size: Option<(usize, usize)>) -> std::result::Result<Box<dyn Model>, ModelError> {
    let config: Config = json.parse()?;
    let check = Checker::new(&json.path);
    let (side, channels) = (config.image_size, config.num_channels);
    check.size("image_size", side, size)?;
    let sizes = Sizes {
        image_size: side,
        channels,
        nf: config.num_channels_dae,
        ch_mult: &config.ch_mult.0,
        num_res_blocks: config.num_res_blocks,
        attn_resolutions: &config.attn_resolutions.0,
        fir: config.fir,
        embedding: (config.num_channels_dae, 1.0),
    };
    check.word("resblock_type", &config.blocks.resblock_type, &[("biggan", ()), ("biggan_oneadagn", ())])?;
    if config.n_mlp > 64 {
        return Err(check.error("n_mlp", format!("{} layers are more than 64", config.n_mlp)));
    }
    Ok(Box::new(Ddgan {
        net: config.blocks.network(&check, &sizes)?,
        sample: Shape::new(side, side, channels),
        centered: config.centered,
        nz: check.count("nz", config.nz, 1 << 14)?,
        z_emb_dim: check.count("z_emb_dim", config.z_emb_dim, 1 << 14)?,
        n_mlp: config.n_mlp,
        tanh: !config.not_use_tanh,
        steps: check.count("num_timesteps", config.num_timesteps, 1 << 16)?,
    }))
}

impl Ddgan {
    fn network(&self, b: &mut Builder<'_>) -> Result<Network> {
        let sample = b.graph.input("sample", self.sample)?;
        let timestep = b.graph.input("timestep", Shape::vector(1))?;
        let z = b.graph.input("z", Shape::vector(self.nz))?;
        let style = b.scope("z_transform", |b| self.mapping(b, z))?;
        let image = if self.centered { sample } else { b.graph.affine(sample, 2.0, -1.0)? };
        let mut output = self.net.build(b, image, timestep, Some(style))?;
        if self.tanh {
            output = b.graph.act(output, Act::Tanh)?;
        }
        b.graph.output("output", output);
        Ok(Network { sample, timestep, class_labels: None, beside: Some(z), output })
    }

    /// From z to the style of all norms: pixel norm, then linear maps, each followed by SiLU.
    fn mapping(&self, b: &mut Builder<'_>, z: Tensor) -> Result<Tensor> {
        let mut h = b.graph.pixel_norm(z, PIXEL_NORM_EPS)?;
        for i in 0..=self.n_mlp {
            h = b.linear(&(2 * i + 1).to_string(), h, self.z_emb_dim)?;
            h = b.graph.act(h, Act::Silu)?;
        }
        b.tap(h);
        Ok(h)
    }
}

impl Model for Ddgan {
    fn describe(&self) -> Description {
        Description {
            architecture: CLASS,
            sample: self.sample,
            out_channels: self.sample.c,
            labels: Labels::None,
            times: Times::Whole { steps: self.steps },
            beside: Beside::Noise { len: self.nz },
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> std::result::Result<Network, ModelError> {
        Ok(self.network(&mut Builder::new(graph, weights))?)
    }
}
