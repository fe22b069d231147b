//! From a time (or a label treated as one) to an embedding.

use super::{Builder, Result};
use crate::graph::{Act, Tensor};

/// How a time becomes a vector, before any learned map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeProjection {
    /// Sines and cosines of fixed frequencies (Vaswani et al. 2017), periods up to 10000.
    Positional {
        /// Length of the vector; an odd one ends in a zero.
        dim: usize,
        /// Cosines first.
        flip_sin_to_cos: bool,
        /// Frequency `i` is `10000^(-i / (dim/2 - freq_shift))`.
        freq_shift: f64,
    },
    /// Sine and cosine of `2 pi ln(t) w`, with `time_proj.weight` `[dim]` for `w` (Song et al. 2021).
    Fourier {
        /// How many frequencies; the vector is twice as long.
        dim: usize,
    },
    /// A row of `time_proj.weight` `[steps, dim]` for each whole time.
    Learned {
        /// Rows of the table.
        steps: usize,
        /// Length of a row.
        dim: usize,
    },
}

impl TimeProjection {
    /// Length of the vector.
    pub const fn width(&self) -> usize {
        match *self {
            TimeProjection::Positional { dim, .. } | TimeProjection::Learned { dim, .. } => dim,
            TimeProjection::Fourier { dim } => 2 * dim,
        }
    }

    /// `t` is a vector of one, the result a vector of [`TimeProjection::width`]. Weights
    /// are those of `time_proj`, whatever `t` is.
    ///
    /// # Errors
    /// Missing weights.
    pub fn build(&self, b: &mut Builder<'_>, t: Tensor) -> Result<Tensor> {
        b.scope("time_proj", |b| match *self {
            TimeProjection::Positional { dim, flip_sin_to_cos, freq_shift } => {
                b.graph.sinusoidal(t, dim, flip_sin_to_cos, freq_shift, 1.0, 10000.0)
            }
            TimeProjection::Fourier { dim } => {
                let weight = b.param("weight", &[dim])?;
                b.graph.fourier(t, &weight, true, false)
            }
            TimeProjection::Learned { steps, dim } => {
                let table = b.param("weight", &[steps, dim])?;
                b.graph.embedding(t, &table)
            }
        })
    }
}

/// The module `name`: `linear_1`, SiLU, `linear_2`, both to `width`. The activation is
/// SiLU whatever the network's own is.
///
/// # Errors
/// Missing weights.
pub fn time_mlp(b: &mut Builder<'_>, name: &str, x: Tensor, width: usize) -> Result<Tensor> {
    b.scope(name, |b| {
        let h = b.linear("linear_1", x, width)?;
        let h = b.graph.act(h, Act::Silu)?;
        b.linear("linear_2", h, width)
    })
}
