//! The residual cells of NVAE (Vahdat and Kautz 2020, arXiv:2007.03898), as LSGM's
//! autoencoder has them: `skip(x) + 0.1 SE(ops(x))`.

use super::{Builder, Resample, Result};
use crate::graph::{Act, Tensor};
use crate::weights::Param;

/// What a cell's branch is multiplied with.
const BRANCH: f64 = 0.1;

/// What a cell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Twice batch norm, SiLU, 3 x 3 convolution.
    Residual,
    /// The same in one module, with a batch norm between in place of weight norm.
    ResidualX2,
    /// An inverted residual with a depthwise 5 x 5 convolution, so many times as wide within.
    Depthwise {
        /// How many times.
        expand: usize,
    },
}

/// How a cell changes resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Not.
    Keep,
    /// It doubles it.
    Up,
    /// It halves it.
    Down,
}

/// A residual cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its branch.
    pub kind: CellKind,
    /// Its resolution.
    pub resize: Resize,
    /// Channels of the output; those of the input where nothing is resized.
    pub out: usize,
    /// Squeeze and excitation (Hu et al. 2018).
    pub squeeze: bool,
}

impl Cell {
    /// `[n, h, w, c]` to `[n, h', w', out]`.
    ///
    /// # Errors
    /// Missing weights, shapes that do not fit.
    pub fn build(&self, b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
        let h = match self.kind {
            CellKind::Residual => {
                let h = b.scope("_ops.0", |b| batch_norm_conv(b, x, self.out, self.resize))?;
                b.scope("_ops.1", |b| batch_norm_conv(b, h, self.out, Resize::Keep))?
            }
            CellKind::ResidualX2 => b.scope("_ops.0", |b| self.double(b, x))?,
            CellKind::Depthwise { expand } => b.scope("_ops.0", |b| self.inverted(b, x, expand))?,
        };
        let h = match self.squeeze {
            true => squeeze_and_excite(b, h)?,
            false => b.graph.affine(h, BRANCH, 0.0)?,
        };
        let skip = b.scope("skip", |b| self.skip(b, x))?;
        b.graph.add(h, skip)
    }

    /// Batch norm, SiLU, convolution, batch norm, SiLU, convolution.
    fn double(&self, b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
        let c = b.graph.shape(x).c;
        let mut h = b.batch_norm("bn_act_0", c)?.apply(b, x, Act::Silu)?;
        if self.resize == Resize::Up {
            h = Resample::NearestUp.build(b, h)?;
        }
        let conv = b.conv_weights("conv_0", [self.out, c, 3, 3], false, false)?;
        let norm = b.batch_norm("bn_act_1", self.out)?;
        h = norm.behind(b, &conv, Act::Silu, |b, conv, act| {
            let h = b.graph.conv2d(h, &conv.weight, conv.bias.as_ref(), stride(self.resize), [1; 4])?;
            b.graph.act(h, act)
        })?;
        b.normed_conv("conv_1", h, self.out, 3, 1, true)
    }

    /// Norm, widen, depthwise, narrow; every norm but the first after its convolution.
    fn inverted(&self, b: &mut Builder<'_>, x: Tensor, expand: usize) -> Result<Tensor> {
        let c = b.graph.shape(x).c;
        let hidden = c.saturating_mul(expand);
        // In a cell that goes up, the doubling counts as a module.
        let first = usize::from(self.resize == Resize::Up);
        let name = |i: usize| format!("conv.{}", first + i);
        let norm = b.batch_norm(&format!("{}.bn", name(0)), c)?;
        let mut h = b.scope(&name(1), |b| {
            let conv = b.conv_weights("conv.0", [hidden, c, 1, 1], false, false)?;
            let behind = b.batch_norm("conv.1", hidden)?;
            norm.ahead(b, x, &conv, |b, x, conv| {
                behind.behind(b, conv, Act::Silu, |b, conv, act| {
                    let h = b.graph.conv2d(x, &conv.weight, conv.bias.as_ref(), 1, [0; 4])?;
                    b.graph.act(h, act)
                })
            })
        })?;
        if self.resize == Resize::Up {
            // Norm and 1 x 1 convolution do not mind which comes first.
            h = Resample::NearestUp.build(b, h)?;
        }
        h = b.scope(&name(2), |b| {
            let conv = b.conv_weights("conv.0", [hidden, 1, 5, 5], false, false)?;
            let norm = b.batch_norm("conv.1", hidden)?;
            norm.behind(b, &conv, Act::Silu, |b, conv, act| {
                // Behind a norm there is a bias.
                let bias = conv.bias.as_ref().unwrap_or(&conv.weight);
                b.graph.depthwise(h, (&conv.weight, bias), stride(self.resize), [2; 4], act)
            })
        })?;
        let conv = b.conv_weights(&name(3), [self.out, hidden, 1, 1], false, false)?;
        let norm = b.batch_norm(&format!("{}.bn", name(4)), self.out)?;
        norm.behind(b, &conv, Act::Identity, |b, conv, act| {
            let h = b.graph.conv2d(h, &conv.weight, conv.bias.as_ref(), 1, [0; 4])?;
            b.graph.act(h, act)
        })
    }

    /// The way past the branch.
    fn skip(&self, b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
        match self.resize {
            Resize::Keep => Ok(x),
            Resize::Down => factorized_reduce(b, x, self.out),
            Resize::Up => {
                // The convolution has no bias, so it may come before the interpolation: less to do.
                let h = b.normed_conv("1", x, self.out, 1, 1, false)?;
                let shape = b.graph.shape(h);
                b.graph.upsample_linear(h, (shape.h.saturating_mul(2), shape.w.saturating_mul(2)))
            }
        }
    }
}

/// Batch norm, SiLU, 3 x 3 convolution (`bn_act`, `conv_0`): `[n, h, w, c]` to `[n, h', w', out]`.
///
/// # Errors
/// Missing weights.
pub fn batch_norm_conv(b: &mut Builder<'_>, x: Tensor, out: usize, resize: Resize) -> Result<Tensor> {
    let c = b.graph.shape(x).c;
    let mut h = b.batch_norm("bn_act", c)?.apply(b, x, Act::Silu)?;
    if resize == Resize::Up {
        h = Resample::NearestUp.build(b, h)?;
    }
    b.normed_conv("conv_0", h, out, 3, stride(resize), true)
}

fn stride(resize: Resize) -> usize {
    if resize == Resize::Down {
        2
    } else {
        1
    }
}

/// SiLU, then four 1 x 1 convolutions of stride 2, one for each pixel of a square of four:
/// together one convolution of side 2 with a tap a filter.
fn factorized_reduce(b: &mut Builder<'_>, x: Tensor, out: usize) -> Result<Tensor> {
    /// Row and column of each convolution's pixel.
    const TAPS: [(usize, usize); 4] = [(0, 0), (1, 1), (0, 1), (1, 0)];
    let c = b.graph.shape(x).c;
    let quarter = out / 4;
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for i in 0..4 {
        let part = if i < 3 { quarter } else { out - 3 * quarter };
        let conv = b.conv_weights(&format!("conv_{}", i + 1), [part, c, 1, 1], true, true)?;
        weights.push(conv.weight);
        biases.extend(conv.bias);
    }
    let weight = Param::fold("as one of side 2", &[out, c, 2, 2], weights, |parts| {
        let spread = |(part, (row, col)): (&Vec<f32>, &(usize, usize))| {
            let mut taps = vec![0.0; 4 * part.len()];
            part.iter().enumerate().for_each(|(i, w)| taps[4 * i + 2 * row + col] = *w);
            taps
        };
        parts.iter().zip(&TAPS).flat_map(spread).collect()
    });
    let bias = Param::fold("joined", &[out], biases, |parts| parts.concat());
    let h = b.graph.act(x, Act::Silu)?;
    b.graph.conv2d(h, &weight, Some(&bias), 2, [0; 4])
}

/// `0.1 sigmoid(W2 relu(W1 mean(x))) x`, the mean over the image.
fn squeeze_and_excite(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    let c = b.graph.shape(x).c;
    let mean = global_mean(b, x)?;
    let h = b.linear("se.se.0", mean, (c / 16).max(4))?;
    let h = b.graph.act(h, Act::Relu)?;
    let h = b.linear("se.se.2", h, c)?;
    // sigmoid(x) = (1 + tanh(x / 2)) / 2
    let h = b.graph.affine(h, 0.5, 0.0)?;
    let h = b.graph.act(h, Act::Tanh)?;
    let factor = b.graph.affine(h, 0.5 * BRANCH, 0.5 * BRANCH)?;
    b.graph.mul(x, factor)
}

/// The mean over a square image, `[n, 1, 1, c]`, in steps: means of few numbers each.
fn global_mean(b: &mut Builder<'_>, mut x: Tensor) -> Result<Tensor> {
    loop {
        let side = b.graph.shape(x).h;
        if side <= 1 {
            return Ok(x);
        }
        let k = [8, 4, 2].into_iter().find(|k| side.is_multiple_of(*k)).unwrap_or(side);
        x = b.graph.avg_pool(x, k)?;
    }
}
