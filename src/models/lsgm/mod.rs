//! LSGM (Vahdat et al. 2021, arXiv:2106.05931): a diffusion in the latent space of an NVAE.
//!
//! The main network is the prior, with weights under `dae.`: `sample` is the latents of the
//! top scale, `timestep` is t in `[0, 1]`; `output` has twice the channels: first `a net(x, t)`,
//! then `(1 - a) x`, so that the prediction of the noise is the first plus `sqrt(var_t)` times
//! the second (mixed score). [`nvae`] has the decoder and the encoder, with weights under `vae.`.

mod config;
mod encoder;
pub mod nvae;

use super::options::Checker;
use super::{Beside, Description, Labels, Model, ModelError, Network, Part, Times};
use crate::graph::{Act, Graph};
use crate::nn::{Builder, Ncsnpp, Result};
use crate::shape::Shape;
use crate::weights::{Json, Param, Weights};
use config::Config;
use nvae::Nvae;

/// The `_class_name` of these configurations, where they have one.
pub const CLASS: &str = "Lsgm";

/// What tells one without the name.
pub const FIELDS: &[&str] = &["num_latent_scales", "num_groups_per_scale"];

/// A checked configuration.
#[derive(Debug)]
struct Lsgm {
    vae: Nvae,
    prior: Ncsnpp,
    /// Whether the prediction is mixed.
    mixed: bool,
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`ModelError::Config`] with the field, [`ModelError::Weights`] for what is not JSON.
pub fn open(json: &Json, size: Option<(usize, usize)>) -> std::result::Result<Box<dyn Model>, ModelError> {
    let config: Config = json.parse()?;
    let check = Checker::new(&json.path);
    let vae = config.vae(&check)?;
    check.size("dataset", vae.latent().h, size)?;
    let prior = config.prior(&check, &vae)?;
    Ok(Box::new(Lsgm { vae, prior, mixed: config.mixed_prediction }))
}

impl Lsgm {
    fn network(&self, b: &mut Builder<'_>) -> Result<Network> {
        let shape = self.vae.latent();
        let sample = b.graph.input("sample", shape)?;
        let timestep = b.graph.input("timestep", Shape::vector(1))?;
        let output = b.scope("dae", |b| {
            let net = self.prior.build(b, sample, timestep, None)?;
            let logit = self.mixed.then(|| b.param("mixing_logit", &[1, shape.c, 1, 1])).transpose()?;
            let part = |how: &str, sign: f64| match &logit {
                Some(logit) => logit.map(how, &[shape.c, 1, 1, 1], move |logit| {
                    logit.iter().map(|l| (1.0 / (1.0 + (-sign * f64::from(*l)).exp())) as f32).collect()
                }),
                // The network alone counts.
                None => Param::lazy(format!("not mixed, {how}"), &[shape.c, 1, 1, 1], move || {
                    vec![if sign > 0.0 { 1.0 } else { 0.0 }; shape.c]
                }),
            };
            let zeros = Param::lazy(format!("zeros.{}", shape.c), &[shape.c], move || vec![0.0; shape.c]);
            let of_net = b.graph.depthwise(net, (&part("sigmoid", 1.0), &zeros), 1, [0; 4], Act::Identity)?;
            let of_x =
                b.graph.depthwise(sample, (&part("less sigmoid", -1.0), &zeros), 1, [0; 4], Act::Identity)?;
            b.graph.concat(of_net, of_x)
        })?;
        b.graph.output("output", output);
        Ok(Network { sample, timestep, class_labels: None, beside: None, output })
    }
}

impl Model for Lsgm {
    fn describe(&self) -> Description {
        let sample = self.vae.latent();
        Description {
            architecture: CLASS,
            sample,
            out_channels: 2 * sample.c,
            labels: Labels::None,
            times: Times::Real,
            beside: Beside::Nothing,
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> std::result::Result<Network, ModelError> {
        Ok(self.network(&mut Builder::new(graph, weights))?)
    }

    fn part(
        &self,
        part: Part,
        weights: &dyn Weights,
        graph: &mut Graph,
    ) -> std::result::Result<bool, ModelError> {
        let mut b = Builder::new(graph, weights);
        match part {
            Part::Decoder => self.vae.decoder(&mut b)?,
            Part::Encoder => self.vae.encoder(&mut b)?,
        }
        Ok(true)
    }
}
