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

/// A residual block: norm, activation, resampling, convolution, time, norm,
/// activation, convolution, plus the (resampled, projected) input, over `output_scale`.
///
/// Names: `norm1`, `conv1`, `time_emb_proj`, `norm2`, `conv2`, `conv_shortcut`.
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
    /// Whether the input passes a 1 x 1 convolution; without it both widths are equal.
    pub shortcut: bool,
    /// What the sum is divided by.
    pub output_scale: f64,
}

impl ResnetBlock {
    /// `x` is `[n, h, w, channels_in]`; `temb` is a vector, *already activated* (all
    /// blocks of a network activate the same embedding, so it is done once).
    /// Returns `[n, h', w', channels_out]`.
    ///
    /// # Errors
    /// Missing weights, shapes that do not fit.
    pub fn build(&self, b: &mut Builder<'_>, x: Tensor, temb: Tensor) -> Result<Tensor> {
        let mut skip = x;
        let mut h = b.group_norm("norm1", x, self.groups_in, self.eps)?;
        h = b.graph.act(h, self.act)?;
        if let Some(resample) = self.resample {
            skip = resample.build(b, skip)?;
            h = resample.build(b, h)?;
        }
        h = b.conv3x3("conv1", h, self.channels_out)?;
        match self.time {
            TimeBias::Add => {
                let bias = b.linear("time_emb_proj", temb, self.channels_out)?;
                h = b.graph.add(h, bias)?;
                h = b.group_norm("norm2", h, self.groups_out, self.eps)?;
            }
            TimeBias::ScaleShift => {
                let both = b.linear("time_emb_proj", temb, 2 * self.channels_out)?;
                h = b.group_norm("norm2", h, self.groups_out, self.eps)?;
                h = b.graph.scale_shift(h, both)?;
            }
        }
        h = b.graph.act(h, self.act)?;
        h = b.conv3x3("conv2", h, self.channels_out)?;
        if self.shortcut {
            skip = b.conv2d("conv_shortcut", skip, self.channels_out, 1, 1, [0; 4])?;
        }
        let sum = b.graph.add(h, skip)?;
        b.divide(sum, self.output_scale)
    }
}
