//! Halving and doubling of images.

use super::{Builder, Result};
use crate::graph::Tensor;

/// StyleGAN2's filter `[1, 3, 3, 1]`, normed to a sum of one.
const FIR: [f64; 4] = [0.125, 0.375, 0.375, 0.125];

/// A resampling without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// Each pixel four times.
    NearestUp,
    /// The mean of 2 x 2 pixels.
    MeanDown,
    /// [`fir_up`].
    FirUp,
    /// [`fir_down`].
    FirDown,
}

impl Resample {
    /// `[n, h, w, c]` to `[n, 2h, 2w, c]` or `[n, h/2, w/2, c]`.
    ///
    /// # Errors
    /// An image that is too small or too large.
    pub fn build(self, b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
        match self {
            Resample::NearestUp => nearest_up(b, x),
            Resample::MeanDown => b.graph.avg_pool(x, 2),
            Resample::FirUp => fir_up(b, x),
            Resample::FirDown => fir_down(b, x),
        }
    }
}

/// Doubles by the filter, zeros around the image: `out[2i] = x[i-1]/4 + 3x[i]/4`, `out[2i+1] = 3x[i]/4 + x[i+1]/4`.
///
/// # Errors
/// An image that is too large.
pub fn fir_up(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    b.graph.fir(x, &FIR, 2, 1, (2, 1), 4.0)
}

/// Halves by the filter, zeros around the image: `out[i] = (x[2i-1] + 3x[2i] + 3x[2i+1] + x[2i+2]) / 8`.
///
/// # Errors
/// An image that is too small.
pub fn fir_down(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    b.graph.fir(x, &FIR, 1, 2, (1, 1), 1.0)
}

/// The filter without its stride, zeros around the image, then the 3 x 3 convolution `name` of
/// stride 2 without padding (StyleGAN2's `conv_downsample_2d`): `[n, h, w, c]` to `[n, h/2, w/2, out]`.
///
/// # Errors
/// Missing weights, an image that is too small.
pub fn fir_conv_down(b: &mut Builder<'_>, name: &str, x: Tensor, out: usize) -> Result<Tensor> {
    let smooth = b.graph.fir(x, &FIR, 1, 1, (2, 2), 1.0)?;
    b.conv2d(name, smooth, out, 3, 2, [0; 4])
}

/// The module `name`: a 3 x 3 convolution `conv` of stride 2 that keeps the channels.
/// `padding` 1 pads all sides; 0 pads right and bottom by one.
///
/// # Errors
/// Missing weights.
pub fn conv_down(b: &mut Builder<'_>, name: &str, x: Tensor, padding: usize) -> Result<Tensor> {
    let sides = if padding == 0 { [0, 1, 0, 1] } else { [padding; 4] };
    let c = b.graph.shape(x).c;
    b.scope(name, |b| b.conv2d("conv", x, c, 3, 2, sides))
}

/// The module `name`: doubling by repetition, then a 3 x 3 convolution `conv` that keeps the channels.
///
/// # Errors
/// Missing weights, an image that is too large.
pub fn conv_up(b: &mut Builder<'_>, name: &str, x: Tensor) -> Result<Tensor> {
    b.scope(name, |b| {
        let h = nearest_up(b, x)?;
        let c = b.graph.shape(h).c;
        b.conv3x3("conv", h, c)
    })
}

fn nearest_up(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    let shape = b.graph.shape(x);
    b.graph.upsample_nearest(x, (shape.h.saturating_mul(2), shape.w.saturating_mul(2)))
}
