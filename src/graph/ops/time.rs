//! Times as vectors of sines and cosines.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::embed;
use crate::shape::Shape;
use crate::weights::Param;

/// Which frequencies.
#[derive(Clone, Debug)]
pub enum TimeEmbedding {
    /// A geometric series (Vaswani et al. 2017): angle `i` is
    /// `scale t max_period^(-i / (dim/2 - freq_shift))`.
    Sinusoidal {
        /// Numbers in the result; an odd one ends with a zero.
        dim: usize,
        /// Cosines before sines.
        flip_sin_to_cos: bool,
        /// Taken from the number of frequencies.
        freq_shift: f64,
        /// The factor of `t`.
        scale: f64,
        /// The longest period over 2 pi.
        max_period: f64,
    },
    /// Given frequencies (Tancik et al. 2020): angle `i` is `2 pi w_i t`.
    Fourier {
        /// `[m]`.
        weight: Param,
        /// Of `ln t` in place of `t`.
        log: bool,
        /// Cosines before sines.
        flip_sin_to_cos: bool,
    },
}

impl Op for TimeEmbedding {
    fn name(&self) -> &'static str {
        "time_embedding"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [t] = arity(inputs)?;
        if t != Shape::vector(1) {
            return Err("a time is one number per image".into());
        }
        match self {
            TimeEmbedding::Sinusoidal { dim, .. } if *dim >= 2 => Ok(Shape::vector(*dim)),
            TimeEmbedding::Sinusoidal { dim, .. } => Err(format!("{dim} numbers hold no sine and cosine")),
            TimeEmbedding::Fourier { weight, .. } => match *weight.shape() {
                [m] if m > 0 => Ok(Shape::vector(2 * m)),
                ref other => Err(format!("weight `{}` has shape {other:?}", weight.name())),
            },
        }
    }

    fn params(&self) -> Vec<&Param> {
        match self {
            TimeEmbedding::Sinusoidal { .. } => Vec::new(),
            TimeEmbedding::Fourier { weight, .. } => vec![weight],
        }
    }

    fn detail(&self) -> String {
        match self {
            TimeEmbedding::Sinusoidal { .. } => "sinusoidal".into(),
            TimeEmbedding::Fourier { log, .. } => if *log { "Fourier of ln t" } else { "Fourier" }.into(),
        }
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let dim = cx.output_shape().c;
        let (table, cos_first, log) = match self {
            TimeEmbedding::Sinusoidal { flip_sin_to_cos, freq_shift, scale, max_period, .. } => {
                let turns = embed::positional(dim / 2, *freq_shift, *scale, *max_period);
                let key = format!("positional {dim} {freq_shift} {scale} {max_period}");
                (cx.constant(&key, move || embed::frequency_table(&turns))?, *flip_sin_to_cos, false)
            }
            TimeEmbedding::Fourier { weight, log, flip_sin_to_cos } => {
                let pack =
                    |w: Vec<f32>| embed::frequency_table(&w.into_iter().map(f64::from).collect::<Vec<_>>());
                (cx.weight(weight, "turns", false, pack)?, *flip_sin_to_cos, *log)
            }
        };
        let call = embed::TimeEmbed { n: cx.n(), dim, cos_first, log };
        cx.calls(call.calls(cx.caps(), cx.input(0), table, cx.output()));
        Ok(())
    }
}
