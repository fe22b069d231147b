//! The autoencoder: NVAE, and its decoder.

use crate::graph::{Act, Tensor};
use crate::nn::{Builder, Cell, CellKind, Resize, Result};
use crate::shape::Shape;

/// Means and logarithms of deviations stay within this.
pub(super) const MU_SCALE: f64 = 5.0;

/// What the decoder's last convolution parametrises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// A mixture of discretised logistics.
    Mixture {
        /// How many.
        k: usize,
    },
    /// Black or white: a logit.
    Bernoulli,
    /// Normal: means, then logarithms of deviations.
    Normal,
    /// Discretised logistic: means, then logarithms of scales.
    Logistic,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Nvae {
    /// Height and width of the images.
    pub side: usize,
    /// Channels of the images.
    pub channels: usize,
    /// Scales of latents, the top one first.
    pub scales: usize,
    /// Groups of latents of each scale.
    pub groups: usize,
    /// Channels of a group.
    pub z: usize,
    /// Halvings between the image and the lowest scale.
    pub blocks: usize,
    /// Multiples of the channels, from the image on.
    pub mult: Vec<usize>,
    /// Channels of the encoder.
    pub enc_channels: usize,
    /// Channels of the decoder.
    pub dec_channels: usize,
    /// Cells of a block before the encoder's tower.
    pub pre_cells: usize,
    /// Cells of a block after the decoder's tower.
    pub post_cells: usize,
    /// Cells before each group of the encoder.
    pub enc_cells: usize,
    /// Cells after each group of the decoder.
    pub dec_cells: usize,
    /// Cells of the encoder, of the decoder's tower, and after it.
    pub kinds: [CellKind; 3],
    /// Squeeze and excitation in all cells.
    pub squeeze: bool,
    /// What comes out.
    pub distribution: Distribution,
    /// Bound of the logarithm of the deviation of a latent.
    pub log_sig_q_scale: f64,
    /// Batch norms take the statistics of the batch (`vae_train_mode`).
    pub batch_statistics: bool,
    /// The encoder's lower scales see what is before its tower, halved (`progressive_input_vae`).
    pub input_skip: bool,
    /// Pairs of autoregressive flows of each group (`num_nf`).
    pub flows: usize,
}

impl Nvae {
    /// The latents of the top scale, which the prior draws.
    pub fn latent(&self) -> Shape {
        self.latent_of(0)
    }

    /// The latents of a scale, all groups: `[r, r, groups z]`.
    pub fn latent_of(&self, scale: usize) -> Shape {
        let side = self.side >> (self.blocks + self.scales - 1 - scale);
        Shape::new(side, side, self.groups * self.z)
    }

    /// Inputs `latent` (top scale) and, for each lower scale j, `latent.j`; outputs `logits` and
    /// `image`, the distribution's mean in `[-1, 1]`. Cells are taps by their names.
    ///
    /// # Errors
    /// Missing weights.
    pub fn decoder(&self, b: &mut Builder<'_>) -> Result<()> {
        let mut latents = vec![b.graph.input("latent", self.latent())?];
        for scale in 1..self.scales {
            latents.push(b.graph.input(&format!("latent.{scale}"), self.latent_of(scale))?);
        }
        b.scope("vae", |b| {
            self.decode(b, |b, group, _| {
                let at = group % self.groups * self.z;
                b.graph.slice(latents[group / self.groups], at, self.z)
            })
        })
    }

    /// The decoder; `eps` gives the latents of a group, told its number and the state before it.
    pub(super) fn decode(
        &self,
        b: &mut Builder<'_>,
        mut eps: impl FnMut(&mut Builder<'_>, usize, Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        b.batch_statistics = self.batch_statistics;
        let mut level = self.mult.len() - 1;
        let wide = |level: usize| self.dec_channels * self.mult[level];
        let side = self.latent().h;
        let prior = b.param("prior_ftr0", &[wide(level), side, side])?;
        let mut s = b.graph.constant(&prior)?;
        let mut next = 0;
        for group in 0..self.scales * self.groups {
            let z = eps(b, group, s)?;
            let z = b.normed_conv(&format!("eps_conv.{group}"), z, self.z, 3, 1, true)?;
            s = tower(b, "dec_tower", &mut next, |b| {
                let both = b.graph.concat(s, z)?;
                b.normed_conv("conv", both, wide(level), 1, 1, true)
            })?;
            for _ in 0..self.dec_cells {
                s = self.cell(b, ("dec_tower", &mut next), 1, Resize::Keep, wide(level), s)?;
            }
            let last = (group + 1) % self.groups == 0;
            if last && group + 1 < self.scales * self.groups {
                level -= 1;
                s = self.cell(b, ("dec_tower", &mut next), 1, Resize::Up, wide(level), s)?;
            }
        }
        next = 0;
        for _ in 0..self.blocks {
            level -= 1;
            for cell in 0..self.post_cells {
                let resize = if cell == 0 { Resize::Up } else { Resize::Keep };
                s = self.cell(b, ("post_process", &mut next), 2, resize, wide(level), s)?;
            }
        }
        let s = b.graph.act(s, Act::Elu(1.0))?;
        let logits = b.normed_conv("image_conditional.1", s, self.parameters(), 3, 1, true)?;
        b.graph.output("logits", logits);
        let image = self.mean(b, logits)?;
        b.graph.output("image", image);
        Ok(())
    }

    /// Channels of the logits.
    fn parameters(&self) -> usize {
        match self.distribution {
            Distribution::Mixture { k } => 10 * k,
            Distribution::Bernoulli => self.channels,
            Distribution::Normal | Distribution::Logistic => 2 * self.channels,
        }
    }

    /// The mean of the distribution, in `[-1, 1]`.
    fn mean(&self, b: &mut Builder<'_>, logits: Tensor) -> Result<Tensor> {
        match self.distribution {
            Distribution::Mixture { .. } => b.graph.mixture_mean(logits),
            // 2 sigmoid(x) - 1
            Distribution::Bernoulli => {
                let half = b.graph.affine(logits, 0.5, 0.0)?;
                b.graph.act(half, Act::Tanh)
            }
            Distribution::Normal => {
                let mean = b.graph.slice(logits, 0, self.channels)?;
                let mean = soft_clamp(b, mean, MU_SCALE)?;
                clamp(b, mean)
            }
            Distribution::Logistic => {
                let mean = b.graph.slice(logits, 0, self.channels)?;
                clamp(b, mean)
            }
        }
    }

    pub(super) fn cell(
        &self,
        b: &mut Builder<'_>,
        (name, next): (&str, &mut usize),
        kind: usize,
        resize: Resize,
        out: usize,
        x: Tensor,
    ) -> Result<Tensor> {
        let cell = Cell { kind: self.kinds[kind], resize, out, squeeze: self.squeeze };
        tower(b, name, next, |b| cell.build(b, x))
    }
}

/// The next module of a tower, a tap by its name.
fn tower(
    b: &mut Builder<'_>,
    name: &str,
    next: &mut usize,
    build: impl FnOnce(&mut Builder<'_>) -> Result<Tensor>,
) -> Result<Tensor> {
    let name = format!("{name}.{next}");
    *next += 1;
    b.scope(&name, |b| {
        let y = build(b)?;
        b.tap(y);
        Ok(y)
    })
}

/// `at tanh(x / at)`.
pub(super) fn soft_clamp(b: &mut Builder<'_>, x: Tensor, at: f64) -> Result<Tensor> {
    let h = b.graph.affine(x, 1.0 / at, 0.0)?;
    let h = b.graph.act(h, Act::Tanh)?;
    b.graph.affine(h, at, 0.0)
}

/// Into `[-1, 1]`: `1 - relu(2 - relu(x + 1))`.
fn clamp(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    let h = b.graph.affine(x, 1.0, 1.0)?;
    let h = b.graph.act(h, Act::Relu)?;
    let h = b.graph.affine(h, -1.0, 2.0)?;
    let h = b.graph.act(h, Act::Relu)?;
    b.graph.affine(h, -1.0, 1.0)
}
