//! The residual block of DDPM (Ho et al. 2020), with the variants that diffusers gives it.

use super::{Builder, Resample, Result};
use crate::graph::{Act, Tensor};

/// How the time embedding enters a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBias {
    /// Added before the second norm.
    Add,
    /// Scale and shift after the second norm (Dhariwal and Nichol 2021).
    ScaleShift,
}

/// What a checkpoint calls the parts of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResnetNames {
    norm1: &'static str,
    conv1: &'static str,
    time: &'static str,
    norm2: &'static str,
    conv2: &'static str,
    shortcut: &'static str,
    nin_shortcut: &'static str,
}

impl ResnetNames {
    /// As diffusers does.
    pub const DIFFUSERS: Self = Self {
        norm1: "norm1",
        conv1: "conv1",
        time: "time_emb_proj",
        norm2: "norm2",
        conv2: "conv2",
        shortcut: "conv_shortcut",
        nin_shortcut: "nin_shortcut",
    };
    /// As score_sde does, and what followed it.
    pub const SCORE_SDE: Self = Self {
        norm1: "GroupNorm_0",
        conv1: "Conv_0",
        time: "Dense_0",
        norm2: "GroupNorm_1",
        conv2: "Conv_1",
        shortcut: "Conv_2",
        nin_shortcut: "NIN_0",
    };
}

/// What the input passes before it is added to what the block makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing: both widths are equal.
    Identity,
    /// A convolution of this side.
    Conv(usize),
    /// [`Builder::nin`].
    Nin,
}

/// A residual block: norm, activation, resampling, convolution, time, norm,
/// activation, convolution, plus the (resampled, projected) input, over `output_scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResnetBlock {
    /// Channels of the input.
    pub channels_in: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Groups of `norm1`.
    pub groups_in: usize,
    /// Groups of `norm2`.
    pub groups_out: usize,
    /// Both norms' epsilon.
    pub eps: f64,
    /// The activation after both norms.
    pub act: Act,
    /// How time enters.
    pub time: TimeBias,
    /// Resampling of input and hidden state after the first activation.
    pub resample: Option<Resample>,
    /// The way past the block.
    pub shortcut: Shortcut,
    /// What the sum is divided by.
    pub output_scale: f64,
    /// What the parts are called.
    pub names: ResnetNames,
    /// Which of the two norms a style scales and shifts ([`adaptive_group_norm`]).
    pub styled: [bool; 2],
}

/// What a residual block is conditioned on.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// The time embedding, *already activated* (all blocks of a network activate the
    /// same embedding, so it is done once); none for a network without times.
    pub temb: Option<Tensor>,
    /// The style of norms that are [`ResnetBlock::styled`].
    pub style: Option<Tensor>,
}

impl From<Tensor> for Conditions {
    fn from(temb: Tensor) -> Self {
        Conditions { temb: Some(temb), style: None }
    }
}

impl ResnetBlock {
    /// `x` is `[n, h, w, channels_in]`; the conditions are vectors.
    /// Returns `[n, h', w', channels_out]`.
    ///
    /// # Errors
    /// Missing weights, shapes that do not fit.
    pub fn build(&self, b: &mut Builder<'_>, x: Tensor, on: impl Into<Conditions>) -> Result<Tensor> {
        let (on, names): (Conditions, _) = (on.into(), &self.names);
        let mut skip = x;
        let mut h = self.norm(b, 0, x, on)?;
        h = b.graph.act(h, self.act)?;
        if let Some(resample) = self.resample {
            skip = resample.build(b, skip)?;
            h = resample.build(b, h)?;
        }
        h = b.conv3x3(names.conv1, h, self.channels_out)?;
        match (self.time, on.temb) {
            (TimeBias::Add, Some(temb)) => {
                let bias = b.linear(names.time, temb, self.channels_out)?;
                h = b.graph.add(h, bias)?;
                h = self.norm(b, 1, h, on)?;
            }
            (TimeBias::ScaleShift, Some(temb)) => {
                let both = b.linear(names.time, temb, 2 * self.channels_out)?;
                h = self.norm(b, 1, h, on)?;
                h = b.graph.scale_shift(h, both)?;
            }
            (_, None) => h = self.norm(b, 1, h, on)?,
        }
        h = b.graph.act(h, self.act)?;
        h = b.conv3x3(names.conv2, h, self.channels_out)?;
        skip = match self.shortcut {
            Shortcut::Identity => skip,
            Shortcut::Conv(k) => b.conv2d(names.shortcut, skip, self.channels_out, k, 1, [k / 2; 4])?,
            Shortcut::Nin => b.nin(names.nin_shortcut, skip, self.channels_out)?,
        };
        let sum = b.graph.add(h, skip)?;
        b.divide(sum, self.output_scale)
    }

    fn norm(&self, b: &mut Builder<'_>, which: usize, x: Tensor, on: Conditions) -> Result<Tensor> {
        let name = [self.names.norm1, self.names.norm2][which];
        let groups = [self.groups_in, self.groups_out][which];
        match on.style.filter(|_| self.styled[which]) {
            Some(style) => adaptive_group_norm(b, name, x, groups, self.eps, style),
            None => b.group_norm(name, x, groups, self.eps),
        }
    }
}

/// The module `name`: `gamma norm(x) + beta` with `[gamma, beta]` a linear map `style` of
/// the vector `z` (Xiao et al. 2022, arXiv:2112.07804, appendix C). Shape is kept.
///
/// # Errors
/// Missing weights; channels that `groups` does not divide.
pub fn adaptive_group_norm(
    b: &mut Builder<'_>,
    name: &str,
    x: Tensor,
    groups: usize,
    eps: f64,
    z: Tensor,
) -> Result<Tensor> {
    let (c, z_dim) = (b.graph.shape(x).c, b.graph.shape(z).c);
    b.scope(name, |b| {
        let h = b.graph.group_norm(x, groups, eps, None, None)?;
        let style = b.scope("style", |b| {
            let weight = b.param("weight", &[2 * c, z_dim])?;
            // `scale_shift` multiplies with one more than it is given.
            let bias = b.param("bias", &[2 * c])?.map("less one", &[2 * c], move |mut bias| {
                bias.iter_mut().take(c).for_each(|v| *v -= 1.0);
                bias
            });
            b.graph.linear(z, &weight, Some(&bias))
        })?;
        b.graph.scale_shift(h, style)
    })
}
