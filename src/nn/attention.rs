//! Self-attention over the pixels of an image.

use super::{Builder, Result};
use crate::graph::Tensor;

/// Norm, queries, keys and values, attention, projection, plus the input, over `output_scale`.
///
/// Names: `group_norm`, `to_q`, `to_k`, `to_v`, `to_out.0`.
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
}

impl AttentionBlock {
    /// `[n, h, w, channels]` to the same.
    ///
    /// # Errors
    /// Missing weights, shapes that do not fit.
    pub fn build(&self, b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
        let inner = self.heads * self.head_dim;
        let h = match self.groups {
            Some(groups) => b.group_norm("group_norm", x, groups, self.eps)?,
            None => x,
        };
        let q = b.linear("to_q", h, inner)?;
        let k = b.linear("to_k", h, inner)?;
        let v = b.linear("to_v", h, inner)?;
        let mixed = b.graph.attention(q, k, v, self.heads, (self.head_dim as f64).powf(-0.5))?;
        let out = b.linear("to_out.0", mixed, self.channels)?;
        let sum = b.graph.add(out, x)?;
        b.divide(sum, self.output_scale)
    }
}
