//! The methods by which models build graphs. One method per op; each says its
//! shapes. All may fail with [`GraphError::Shape`] where the shapes do not fit.

use super::ops::{
    attention::Attention,
    batch_norm::BatchNorm,
    concat::Concat,
    constant::Constant,
    conv::Conv2d,
    depthwise::Depthwise,
    elementwise::{Elementwise, Kind},
    embed::Embed,
    fir::Fir,
    group_norm::GroupNorm,
    mixture::Mixture,
    mixture_mean::MixtureMean,
    pixel_norm::PixelNorm,
    pool::Pool,
    product::Product,
    resample::Resample,
    slice::Slice,
    time::TimeEmbedding,
};
use super::{Act, Graph, GraphError, Tensor};
use crate::kernels::mixture::Form;
use crate::kernels::pool::{Pool as Window, Take};
use crate::kernels::product::Factor;
use crate::weights::Param;

type Result<T> = std::result::Result<T, GraphError>;

impl Graph {
    /// `[n, h, w, ci] -> [n, oh, ow, co]`, weight `[co, ci, kh, kw]`, bias `[co]`,
    /// zero padding `[top, bottom, left, right]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn conv2d(
        &mut self,
        x: Tensor,
        weight: &Param,
        bias: Option<&Param>,
        stride: usize,
        padding: [usize; 4],
    ) -> Result<Tensor> {
        self.push(Conv2d::new(weight.clone(), bias.cloned(), stride, padding), &[x])
    }

    /// A linear layer on the channels of every pixel: weight `[co, ci]`, bias `[co]`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn linear(&mut self, x: Tensor, weight: &Param, bias: Option<&Param>) -> Result<Tensor> {
        self.push(Conv2d::new(weight.clone(), bias.cloned(), 1, [0; 4]), &[x])
    }

    /// Group normalisation (Wu and He 2018) with biased variance over
    /// `[h, w, c / groups]`, weight and bias `[c]`.
    ///
    /// # Errors
    /// Channels that the groups do not divide.
    pub fn group_norm(
        &mut self,
        x: Tensor,
        groups: usize,
        eps: f64,
        weight: Option<&Param>,
        bias: Option<&Param>,
    ) -> Result<Tensor> {
        self.push(GroupNorm::new(groups, eps, weight.cloned(), bias.cloned()), &[x])
    }

    /// An activation, element by element.
    ///
    /// # Errors
    /// None for a valid tensor.
    pub fn act(&mut self, x: Tensor, act: Act) -> Result<Tensor> {
        match act {
            Act::Identity => Ok(x),
            act => self.push(Elementwise { kind: Kind::Act(act) }, &[x]),
        }
    }

    /// `a + b`, of one shape, or with `b` a vector `[n, 1, 1, c]` added to every pixel.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn add(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        self.push(Elementwise { kind: Kind::Add }, &[a, b])
    }

    /// `x * mul + add`.
    ///
    /// # Errors
    /// None for a valid tensor.
    pub fn affine(&mut self, x: Tensor, mul: f64, add: f64) -> Result<Tensor> {
        self.push(Elementwise { kind: Kind::Affine { mul, add } }, &[x])
    }

    /// `x * (1 + scale) + shift` with `emb = [scale, shift]`, a vector of `2c`.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn scale_shift(&mut self, x: Tensor, emb: Tensor) -> Result<Tensor> {
        self.push(Elementwise { kind: Kind::ScaleShift }, &[x, emb])
    }

    /// `x / t` with one number `t` per image.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn div_image(&mut self, x: Tensor, t: Tensor) -> Result<Tensor> {
        self.push(Elementwise { kind: Kind::DivImage }, &[x, t])
    }

    /// Channels of `a`, then of `b`.
    ///
    /// # Errors
    /// Images of different sizes.
    pub fn concat(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        self.push(Concat, &[a, b])
    }

    /// Nearest neighbour to `(h, w)`: pixel `i` of the output is pixel
    /// `floor(i * in / out)` of the input.
    ///
    /// # Errors
    /// A target of no pixels.
    pub fn upsample_nearest(&mut self, x: Tensor, to: (usize, usize)) -> Result<Tensor> {
        self.push(Resample::Nearest { h: to.0, w: to.1 }, &[x])
    }

    /// Mean over `k x k` pixels with stride `k`; a rest at the edge is dropped.
    ///
    /// # Errors
    /// An image smaller than `k`.
    pub fn avg_pool(&mut self, x: Tensor, k: usize) -> Result<Tensor> {
        self.push(Resample::AvgPool { k }, &[x])
    }

    /// The largest of `k x k` pixels, every `stride`, `padding` rows and columns around the image
    /// being less than all.
    ///
    /// # Errors
    /// A window that does not fit.
    pub fn max_pool(&mut self, x: Tensor, k: usize, stride: usize, padding: usize) -> Result<Tensor> {
        self.push(Pool(Window { take: Take::Max, k, stride, padding }), &[x])
    }

    /// The mean of those of `k x k` pixels that lie within the image, every `stride`.
    ///
    /// # Errors
    /// A window that does not fit.
    pub fn mean_pool(&mut self, x: Tensor, k: usize, stride: usize, padding: usize) -> Result<Tensor> {
        self.push(Pool(Window { take: Take::Mean, k, stride, padding }), &[x])
    }

    /// StyleGAN2's upfirdn2d, separable: `up - 1` zeros after each sample, zero
    /// padding, convolution with `taps` both ways times `gain`, every `down`th kept.
    ///
    /// # Errors
    /// No taps, or an image smaller than the filter.
    pub fn fir(
        &mut self,
        x: Tensor,
        taps: &[f64],
        up: usize,
        down: usize,
        pad: (usize, usize),
        gain: f64,
    ) -> Result<Tensor> {
        self.push(Fir { taps: taps.to_vec(), up, down, pad, gain }, &[x])
    }

    /// `softmax(scale * q k^T) v` for each head; tokens are pixels, head `i` is
    /// channels `i * d .. (i + 1) * d`.
    ///
    /// # Errors
    /// Shapes that do not fit, or channels that the heads do not divide.
    pub fn attention(&mut self, q: Tensor, k: Tensor, v: Tensor, heads: usize, scale: f64) -> Result<Tensor> {
        self.push(Attention { heads, scale, joined: false }, &[q, k, v])
    }

    /// Sines and cosines of `scale * t * max_period^(-i / (dim/2 - freq_shift))`
    /// (Vaswani et al. 2017): one number per image to a vector of `dim`.
    ///
    /// # Errors
    /// A `dim` of less than 2.
    pub fn sinusoidal(
        &mut self,
        t: Tensor,
        dim: usize,
        flip_sin_to_cos: bool,
        freq_shift: f64,
        scale: f64,
        max_period: f64,
    ) -> Result<Tensor> {
        let op = TimeEmbedding::Sinusoidal { dim, flip_sin_to_cos, freq_shift, scale, max_period };
        self.push(op, &[t])
    }

    /// Sines and cosines of `2 pi w_i t` (or of `ln t` with `log`), weights `[m]`:
    /// one number per image to a vector of `2m` (Tancik et al. 2020).
    ///
    /// # Errors
    /// A weight that is not a vector.
    pub fn fourier(&mut self, t: Tensor, weight: &Param, log: bool, flip_sin_to_cos: bool) -> Result<Tensor> {
        self.push(TimeEmbedding::Fourier { weight: weight.clone(), log, flip_sin_to_cos }, &[t])
    }

    /// Row `label` of a table `[rows, d]`: one number per image to a vector of `d`.
    ///
    /// # Errors
    /// A table that is not a matrix.
    pub fn embedding(&mut self, label: Tensor, table: &Param) -> Result<Tensor> {
        self.push(Embed { table: table.clone() }, &[label])
    }

    /// Channels `at .. at + c`: `[n, h, w, c]`.
    ///
    /// # Errors
    /// Channels that are not there.
    pub fn slice(&mut self, x: Tensor, at: usize, c: usize) -> Result<Tensor> {
        self.push(Slice { at, c }, &[x])
    }

    /// A weight `[c, h, w]` as the same image for all: `[n, h, w, c]`.
    ///
    /// # Errors
    /// A weight of another number of dimensions.
    pub fn constant(&mut self, image: &Param) -> Result<Tensor> {
        self.push(Constant { image: image.clone() }, &[])
    }

    /// Batch norm with the statistics of the batch, then `act`; weight and bias `[c]`.
    ///
    /// # Errors
    /// Weights of another length.
    pub fn batch_norm(
        &mut self,
        x: Tensor,
        (weight, bias): (&Param, &Param),
        eps: f64,
        act: Act,
    ) -> Result<Tensor> {
        let (weight, bias) = (weight.clone(), bias.clone());
        self.push(BatchNorm { weight, bias, eps, act }, &[x])
    }

    /// Each channel with a filter of its own: `[n, h, w, c] -> [n, oh, ow, c]`, weight
    /// `[c, 1, kh, kw]`, bias `[c]`, zero padding `[top, bottom, left, right]`; then `act`,
    /// identity or SiLU.
    ///
    /// # Errors
    /// Shapes that do not fit, or another activation.
    pub fn depthwise(
        &mut self,
        x: Tensor,
        (weight, bias): (&Param, &Param),
        stride: usize,
        padding: [usize; 4],
        act: Act,
    ) -> Result<Tensor> {
        let (weight, bias) = (weight.clone(), bias.clone());
        self.push(Depthwise { weight, bias, stride, padding, act }, &[x])
    }

    /// Linear between neighbours to `(h, w)`, corner upon corner (`align_corners`).
    ///
    /// # Errors
    /// A target of no pixels.
    pub fn upsample_linear(&mut self, x: Tensor, to: (usize, usize)) -> Result<Tensor> {
        self.push(Resample::Linear { h: to.0, w: to.1 }, &[x])
    }

    /// `a b`, of one shape, or with `b` a vector `[n, 1, 1, c]` for every pixel.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn mul(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        let factor = if self.shape(a) == self.shape(b) { Factor::Same } else { Factor::Vector };
        self.push(Product { factor }, &[a, b])
    }

    /// `a exp(b)`, of one shape.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn mul_exp(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        self.push(Product { factor: Factor::Exp }, &[a, b])
    }

    /// `x / sqrt(mean(x^2) + eps)` over the channels of a pixel.
    ///
    /// # Errors
    /// None for a valid tensor.
    pub fn pixel_norm(&mut self, x: Tensor, eps: f64) -> Result<Tensor> {
        self.push(PixelNorm { eps }, &[x])
    }

    /// The mean of a mixture of discretised logistics: `[n, h, w, 10 k] -> [n, h, w, 3]`.
    ///
    /// # Errors
    /// Channels that 10 does not divide.
    pub fn mixture_mean(&mut self, x: Tensor) -> Result<Tensor> {
        self.push(MixtureMean, &[x])
    }

    /// What a perfect network says of points `[n, h, w, 2]` at a time, one number per image, whose
    /// data are Gaussians of one variance; `components` `[k, 3]`, mean and log of the weight.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn mixture(
        &mut self,
        x: Tensor,
        t: Tensor,
        components: &Param,
        variance: f64,
        form: Form,
    ) -> Result<Tensor> {
        self.push(Mixture { components: components.clone(), variance, form }, &[x, t])
    }
}
