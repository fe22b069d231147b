//! The score model of CLD-SGM (Dockhorn et al. 2022, arXiv:2112.07068).
//!
//! `sample` is the data `x`, `velocity` the velocities `v` (the reference joins them on the
//! channel axis), `timestep` the diffusion time in `(0, 1]`; `output` is what the reference's network returns: the
//! prediction of the noise in `v`, before the mixed score.

use super::options::{Blocks, Checker, List, Sizes};
use super::{Beside, Description, Labels, Model, ModelError, Network, Times};
use crate::graph::{Act, Graph};
use crate::nn::{Builder, Embedding, Ncsnpp, Result};
use crate::shape::Shape;
use crate::weights::{Json, Weights};
use serde::Deserialize;

/// The `_class_name` of these configurations, where they have one.
pub const CLASS: &str = "CldSgm";

/// What tells one without the name.
pub const FIELDS: &[&str] = &["cld_objective", "m_inv"];

/// The fields that are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Config {
    name: String,
    is_image: bool,
    image_size: usize,
    image_channels: usize,
    data_dim: usize,
    n_channels: usize,
    ch_mult: List,
    attn_resolutions: List,
    n_resblocks: usize,
    use_fir: bool,
    /// Hidden layers of the toy network, and their width.
    hidden_layers: usize,
    hidden_units: usize,
    #[serde(flatten)]
    blocks: Blocks,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "ncsnpp".into(),
            is_image: true,
            image_size: 32,
            image_channels: 3,
            data_dim: 2,
            n_channels: 128,
            ch_mult: List(vec![1, 2, 2, 2]),
            attn_resolutions: List(vec![16]),
            n_resblocks: 4,
            use_fir: true,
            hidden_layers: 4,
            hidden_units: 128,
            blocks: Blocks::default(),
        }
    }
}

/// A checked configuration.
#[derive(Debug)]
struct Cld {
    net: Net,
    /// The data, and the velocities.
    data: Shape,
}

#[derive(Debug)]
enum Net {
    Unet(Box<Ncsnpp>),
    /// `hidden` times a linear map and SiLU, then a linear map, of state and time.
    Mlp {
        hidden: usize,
        width: usize,
    },
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`ModelError::Config`] with the field, [`ModelError::Weights`] for what is not JSON.
pub fn open(json: &Json, size: Option<(usize, usize)>) -> std::result::Result<Box<dyn Model>, ModelError> {
    let mut config: Config = json.parse()?;
    let check = Checker::new(&json.path);
    if check.word("name", &config.name, &[("ncsnpp", false), ("mlp", true)])? {
        let data = Shape::vector(check.count("data_dim", config.data_dim, 1 << 12)?);
        let hidden = check.count("hidden_layers", config.hidden_layers, 64)?;
        let width = check.count("hidden_units", config.hidden_units, 1 << 14)?;
        return Ok(Box::new(Cld { net: Net::Mlp { hidden, width }, data }));
    }
    let (side, channels) = (config.image_size, config.image_channels);
    check.size("image_size", side, size)?;
    config.blocks.conditional = true;
    let sizes = Sizes {
        image_size: side,
        channels,
        nf: config.n_channels,
        ch_mult: &config.ch_mult.0,
        num_res_blocks: config.n_resblocks,
        attn_resolutions: &config.attn_resolutions.0,
        fir: config.use_fir,
        embedding: (config.n_channels, 1.0),
    };
    let net = config.blocks.network(&check, &sizes)?;
    Ok(Box::new(Cld { net: Net::Unet(Box::new(net)), data: Shape::new(side, side, channels) }))
}

impl Cld {
    fn network(&self, b: &mut Builder<'_>) -> Result<Network> {
        let sample = b.graph.input("sample", self.data)?;
        let velocity = b.graph.input("velocity", self.data)?;
        let timestep = b.graph.input("timestep", Shape::vector(1))?;
        let state = b.graph.concat(sample, velocity)?;
        let output = match &self.net {
            Net::Unet(net) => net.build(b, state, timestep, None)?,
            Net::Mlp { hidden, width } => {
                let mut h = b.graph.concat(state, timestep)?;
                for i in 0..*hidden {
                    h = b.linear(&format!("main.{}", 2 * i), h, *width)?;
                    h = b.graph.act(h, Act::Silu)?;
                }
                b.linear(&format!("main.{}", 2 * hidden), h, self.data.c)?
            }
        };
        b.graph.output("output", output);
        Ok(Network { sample, timestep, class_labels: None, beside: Some(velocity), output })
    }
}

impl Model for Cld {
    fn describe(&self) -> Description {
        let fourier = matches!(&self.net, Net::Unet(net) if net.embedding == Embedding::Fourier);
        Description {
            architecture: CLASS,
            sample: self.data,
            out_channels: self.data.c,
            labels: Labels::None,
            times: if fourier { Times::Positive } else { Times::Real },
            beside: Beside::Velocity,
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> std::result::Result<Network, ModelError> {
        Ok(self.network(&mut Builder::new(graph, weights))?)
    }
}
