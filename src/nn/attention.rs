//! Self-attention over the pixels of an image.

use super::{Builder, Result};
use crate::graph::Tensor;

/// What a checkpoint calls the parts of an attention block, and how it stores its linear maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionNames {
    norm: &'static str,
    maps: [&'static str; 4],
    nin: bool,
}

impl AttentionNames {
    /// As diffusers does.
    pub const DIFFUSERS: Self =
        Self { norm: "group_norm", maps: ["to_q", "to_k", "to_v", "to_out.0"], nin: false };
    /// As score_sde does, with maps as of [`Builder::nin`].
    pub const SCORE_SDE: Self =
        Self { norm: "GroupNorm_0", maps: ["NIN_0", "NIN_1", "NIN_2", "NIN_3"], nin: true };
}

/// Norm, queries, keys and values, attention, projection, plus the input, over `output_scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionBlock {
    /// Channels in and out.
    pub channels: usize,
    /// Heads. `heads * head_dim` may be less than `channels`.
    pub heads: usize,
    /// Channels of a head; scores are divided by its root.
    pub head_dim: usize,
    /// Groups of the norm; no norm without.
    pub groups: Option<usize>,
    /// The norm's epsilon.
    pub eps: f64,
    /// What the sum is divided by.
    pub output_scale: f64,
    /// What the parts are called.
    pub names: AttentionNames,
}

impl AttentionBlock {
    /// `[n, h, w, channels]` to the same.
    ///
    /// # Errors
    /// Missing weights, shapes that do not fit.
    pub fn build(&self, b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
        let inner = self.heads * self.head_dim;
        let AttentionNames { maps, nin, .. } = self.names;
        let map = |b: &mut Builder<'_>, i: usize, x, out| match nin {
            true => b.nin(maps[i], x, out),
            false => b.linear(maps[i], x, out),
        };
        let h = match self.groups {
            Some(groups) => b.group_norm(self.names.norm, x, groups, self.eps)?,
            None => x,
        };
        let q = map(b, 0, h, inner)?;
        let k = map(b, 1, h, inner)?;
        let v = map(b, 2, h, inner)?;
        let mixed = b.graph.attention(q, k, v, self.heads, (self.head_dim as f64).powf(-0.5))?;
        let out = map(b, 3, mixed, self.channels)?;
        let sum = b.graph.add(out, x)?;
        b.divide(sum, self.output_scale)
    }
}
