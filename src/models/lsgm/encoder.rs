//! NVAE's encoder: a tower of features, then the decoder with each group's latents drawn
//! around what the features of its resolution and the decoder's own say.

use super::nvae::{soft_clamp, Nvae, MU_SCALE};
use crate::graph::{Act, Tensor};
use crate::nn::{batch_norm_conv, Builder, Resize, Result};
use crate::shape::Shape;

/// The encoder's features for each group, the top group first, and the module that adds the
/// decoder's.
type Features = Vec<(Tensor, Option<String>)>;

impl Nvae {
    /// Inputs `image` in `[-1, 1]` and, for each group i, `noise_i`; outputs for each group `mu_i`,
    /// `log_sigma_i` and `eps_i`, which is `mu + sigma noise` through the group's flows, then those
    /// of the decoder.
    ///
    /// # Errors
    /// Missing weights.
    pub fn encoder(&self, b: &mut Builder<'_>) -> Result<()> {
        let image = b.graph.input("image", Shape::new(self.side, self.side, self.channels))?;
        let mut noises = Vec::new();
        for group in 0..self.scales * self.groups {
            let shape = self.latent_of(group / self.groups).with_c(self.z);
            noises.push(b.graph.input(&format!("noise_{group}"), shape)?);
        }
        b.scope("vae", |b| {
            let features = self.features(b, image)?;
            self.decode(b, |b, group, s| {
                let (mut h, combiner) = features[group].clone();
                if let Some(name) = combiner {
                    let c = b.graph.shape(h).c;
                    let of_decoder = b.scope(&name, |b| b.normed_conv("conv", s, c, 1, 1, true))?;
                    h = b.graph.add(of_decoder, h)?;
                }
                let h = b.graph.act(h, Act::Elu(1.0))?;
                let both = b.normed_conv(&format!("enc_sampler.{group}.1"), h, 2 * self.z, 3, 1, true)?;
                let mu = b.graph.slice(both, 0, self.z)?;
                let mu = soft_clamp(b, mu, MU_SCALE)?;
                let log_sigma = b.graph.slice(both, self.z, self.z)?;
                let log_sigma = soft_clamp(b, log_sigma, self.log_sig_q_scale)?;
                let spread = b.graph.mul_exp(noises[group], log_sigma)?;
                let mut eps = b.graph.add(spread, mu)?;
                for flow in group * self.flows..(group + 1) * self.flows {
                    eps = b.autoregressive_pair(&format!("nf_cells.{flow}"), eps)?;
                }
                b.graph.output(&format!("mu_{group}"), mu);
                b.graph.output(&format!("log_sigma_{group}"), log_sigma);
                b.graph.output(&format!("eps_{group}"), eps);
                Ok(eps)
            })
        })
    }

    /// The encoder up to the features of each group.
    fn features(&self, b: &mut Builder<'_>, image: Tensor) -> Result<Features> {
        let wide = |level: usize| self.enc_channels * self.mult[level];
        let mut s = b.normed_conv("stem", image, wide(0), 3, 1, true)?;
        let (mut level, mut next) = (0, 0);
        for _ in 0..self.blocks {
            for cell in 1..=self.pre_cells {
                let resize = if cell == self.pre_cells { Resize::Down } else { Resize::Keep };
                level += usize::from(resize == Resize::Down);
                s = self.cell(b, ("pre_process", &mut next), 0, resize, wide(level), s)?;
            }
        }
        next = 0;
        let (mut pyramid, mut skip) = (s, 0);
        let (mut features, last) = (Vec::new(), self.scales * self.groups - 1);
        for group in 0..=last {
            for _ in 0..self.enc_cells {
                s = self.cell(b, ("enc_tower", &mut next), 0, Resize::Keep, wide(level), s)?;
            }
            let combiner = (group < last).then(|| format!("enc_tower.{next}"));
            next += usize::from(combiner.is_some());
            features.push((s, combiner));
            if (group + 1) % self.groups == 0 && group < last {
                level += 1;
                s = self.cell(b, ("enc_tower", &mut next), 0, Resize::Down, wide(level), s)?;
                if self.input_skip {
                    let name = format!("progressive_input_cells.{skip}.conv");
                    pyramid = b.scope(&name, |b| batch_norm_conv(b, pyramid, wide(level), Resize::Down))?;
                    skip += 1;
                    s = b.graph.add(pyramid, s)?;
                }
            }
        }
        features.reverse();
        Ok(features)
    }
}
