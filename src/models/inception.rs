//! Inception-v3 in its FID variant (Szegedy et al. 2015, arXiv:1512.00567; Heusel et al. 2017,
//! arXiv:1706.08500): the network of 2015-12-05 as TensorFlow ran it. Means do not count what is around the
//! image, the last block takes a maximum, pictures are resized as TensorFlow 1 did. Weights are named as
//! torchvision, pytorch-fid and torch-fidelity name them.

use super::features::{FeatureDescription, FeatureNet, FEATURES, LOGITS, PICTURE};
use super::ModelError;
use crate::graph::{Act, Graph, Tensor};
use crate::nn::{Builder, Result};
use crate::shape::Shape;
use crate::weights::{Param, Weights};

/// Pixels of a side.
const SIDE: usize = 299;
/// Features of a picture.
const WIDTH: usize = 2048;
/// ImageNet's classes, as TensorFlow numbered them.
const CLASSES: usize = 1008;
/// Batch norm's epsilon.
const EPS: f64 = 1e-3;

/// The network. It has no configuration.
#[derive(Clone, Copy, Debug)]
pub struct Inception;

/// A convolution with its batch norm: name, channels, kernel rows and columns.
type Layer = (&'static str, usize, (usize, usize));

/// Convolution, batch norm, ReLU: `conv.weight` `[out, in, kh, kw]`, `bn.*` `[out]`.
fn conv(
    b: &mut Builder<'_>,
    x: Tensor,
    (name, out, (kh, kw)): Layer,
    stride: usize,
    same: bool,
) -> Result<Tensor> {
    let c = b.graph.shape(x).c;
    b.scope(name, |b| {
        let weight = b.param("conv.weight", &[out, c, kh, kw])?;
        let norm = ["weight", "bias", "running_mean", "running_var"];
        let norm = norm.iter().map(|n| b.param(&format!("bn.{n}"), &[out])).collect::<Result<Vec<_>>>()?;
        let factor =
            |norm: &[Vec<f32>], i: usize| f64::from(norm[0][i]) / (f64::from(norm[3][i]) + EPS).sqrt();
        let parts = std::iter::once(weight.clone()).chain(norm.iter().cloned()).collect();
        let folded = Param::fold("batch norm after", weight.shape(), parts, move |mut parts| {
            let norm = parts.split_off(1);
            let Some(weight) = parts.pop() else { return Vec::new() };
            let each = (weight.len() / out).max(1);
            weight.iter().enumerate().map(|(i, w)| (f64::from(*w) * factor(&norm, i / each)) as f32).collect()
        });
        let bias = Param::fold("batch norm's bias after", &[out], norm, move |norm| {
            let one = |i: usize| f64::from(norm[1][i]) - f64::from(norm[2][i]) * factor(&norm, i);
            (0..out).map(|i| one(i) as f32).collect()
        });
        let pad = if same { [kh / 2, kh / 2, kw / 2, kw / 2] } else { [0; 4] };
        let y = b.graph.conv2d(x, &folded, Some(&bias), stride, pad)?;
        b.graph.act(y, Act::Relu)
    })
}

/// Convolutions that keep height and width, one after another.
fn chain(b: &mut Builder<'_>, x: Tensor, layers: &[Layer]) -> Result<Tensor> {
    layers.iter().try_fold(x, |x, layer| conv(b, x, *layer, 1, true))
}

/// All channels of all branches.
fn joined(b: &mut Builder<'_>, branches: &[Tensor]) -> Result<Tensor> {
    branches[1..].iter().try_fold(branches[0], |all, branch| b.graph.concat(all, *branch))
}

const ONE: (usize, usize) = (1, 1);
const THREE: (usize, usize) = (3, 3);
const ROW: (usize, usize) = (1, 7);
const COLUMN: (usize, usize) = (7, 1);

/// The mean around each pixel, and a convolution.
fn pooled(b: &mut Builder<'_>, x: Tensor, out: usize) -> Result<Tensor> {
    let mean = b.graph.mean_pool(x, 3, 1, 1)?;
    conv(b, mean, ("branch_pool", out, ONE), 1, true)
}

fn block_a(b: &mut Builder<'_>, x: Tensor, pool: usize) -> Result<Tensor> {
    let one = chain(b, x, &[("branch1x1", 64, ONE)])?;
    let five = chain(b, x, &[("branch5x5_1", 48, ONE), ("branch5x5_2", 64, (5, 5))])?;
    let three = [("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE), ("branch3x3dbl_3", 96, THREE)];
    let three = chain(b, x, &three)?;
    let pool = pooled(b, x, pool)?;
    joined(b, &[one, five, three, pool])
}

fn block_b(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    let three = conv(b, x, ("branch3x3", 384, THREE), 2, false)?;
    let double = chain(b, x, &[("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE)])?;
    let double = conv(b, double, ("branch3x3dbl_3", 96, THREE), 2, false)?;
    let pool = b.graph.max_pool(x, 3, 2, 0)?;
    joined(b, &[three, double, pool])
}

fn block_c(b: &mut Builder<'_>, x: Tensor, c: usize) -> Result<Tensor> {
    let one = chain(b, x, &[("branch1x1", 192, ONE)])?;
    let seven = [("branch7x7_1", c, ONE), ("branch7x7_2", c, ROW), ("branch7x7_3", 192, COLUMN)];
    let seven = chain(b, x, &seven)?;
    let double = [
        ("branch7x7dbl_1", c, ONE),
        ("branch7x7dbl_2", c, COLUMN),
        ("branch7x7dbl_3", c, ROW),
        ("branch7x7dbl_4", c, COLUMN),
        ("branch7x7dbl_5", 192, ROW),
    ];
    let double = chain(b, x, &double)?;
    let pool = pooled(b, x, 192)?;
    joined(b, &[one, seven, double, pool])
}

fn block_d(b: &mut Builder<'_>, x: Tensor) -> Result<Tensor> {
    let three = chain(b, x, &[("branch3x3_1", 192, ONE)])?;
    let three = conv(b, three, ("branch3x3_2", 320, THREE), 2, false)?;
    let seven = [("branch7x7x3_1", 192, ONE), ("branch7x7x3_2", 192, ROW), ("branch7x7x3_3", 192, COLUMN)];
    let seven = chain(b, x, &seven)?;
    let seven = conv(b, seven, ("branch7x7x3_4", 192, THREE), 2, false)?;
    let pool = b.graph.max_pool(x, 3, 2, 0)?;
    joined(b, &[three, seven, pool])
}

/// The last blocks; the very last takes the maximum around each pixel, not the mean.
fn block_e(b: &mut Builder<'_>, x: Tensor, last: bool) -> Result<Tensor> {
    let one = chain(b, x, &[("branch1x1", 320, ONE)])?;
    let three = chain(b, x, &[("branch3x3_1", 384, ONE)])?;
    let three_a = chain(b, three, &[("branch3x3_2a", 384, (1, 3))])?;
    let three_b = chain(b, three, &[("branch3x3_2b", 384, (3, 1))])?;
    let double = chain(b, x, &[("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)])?;
    let double_a = chain(b, double, &[("branch3x3dbl_3a", 384, (1, 3))])?;
    let double_b = chain(b, double, &[("branch3x3dbl_3b", 384, (3, 1))])?;
    let pool = match last {
        true => {
            let most = b.graph.max_pool(x, 3, 1, 1)?;
            conv(b, most, ("branch_pool", 192, ONE), 1, true)?
        }
        false => pooled(b, x, 192)?,
    };
    joined(b, &[one, three_a, three_b, double_a, double_b, pool])
}

/// The mean over all pixels, for whoever looks at it.
fn tap(b: &mut Builder<'_>, name: &str, x: Tensor) -> Result<()> {
    let side = b.graph.shape(x).h;
    let mean = b.graph.avg_pool(x, side)?;
    b.graph.tap(name, mean);
    Ok(())
}

impl FeatureNet for Inception {
    fn describe(&self) -> FeatureDescription {
        FeatureDescription {
            called: "Inception-v3 (FID)".into(),
            picture: Shape::new(SIDE, SIDE, 3),
            width: WIDTH,
            // ImageNet's classes say nothing of other pictures.
            classes: Vec::new(),
            logits: CLASSES,
        }
    }

    /// Taps `64`, `192` and `768`: what torch-fidelity calls so.
    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> std::result::Result<(), ModelError> {
        let b = &mut Builder::new(graph, weights);
        let picture = b.graph.input(PICTURE, Shape::new(SIDE, SIDE, 3))?;
        let x = conv(b, picture, ("Conv2d_1a_3x3", 32, THREE), 2, false)?;
        let x = conv(b, x, ("Conv2d_2a_3x3", 32, THREE), 1, false)?;
        let x = conv(b, x, ("Conv2d_2b_3x3", 64, THREE), 1, true)?;
        let x = b.graph.max_pool(x, 3, 2, 0)?;
        tap(b, "64", x)?;
        let x = conv(b, x, ("Conv2d_3b_1x1", 80, ONE), 1, false)?;
        let x = conv(b, x, ("Conv2d_4a_3x3", 192, THREE), 1, false)?;
        let x = b.graph.max_pool(x, 3, 2, 0)?;
        tap(b, "192", x)?;
        let x = b.scope("Mixed_5b", |b| block_a(b, x, 32))?;
        let x = b.scope("Mixed_5c", |b| block_a(b, x, 64))?;
        let x = b.scope("Mixed_5d", |b| block_a(b, x, 64))?;
        let x = b.scope("Mixed_6a", |b| block_b(b, x))?;
        let x = b.scope("Mixed_6b", |b| block_c(b, x, 128))?;
        let x = b.scope("Mixed_6c", |b| block_c(b, x, 160))?;
        let x = b.scope("Mixed_6d", |b| block_c(b, x, 160))?;
        let x = b.scope("Mixed_6e", |b| block_c(b, x, 192))?;
        tap(b, "768", x)?;
        let x = b.scope("Mixed_7a", |b| block_d(b, x))?;
        let x = b.scope("Mixed_7b", |b| block_e(b, x, false))?;
        let x = b.scope("Mixed_7c", |b| block_e(b, x, true))?;
        let side = b.graph.shape(x).h;
        let features = b.graph.avg_pool(x, side)?;
        let logits = b.linear("fc", features, CLASSES)?;
        b.graph.output(FEATURES, features);
        b.graph.output(LOGITS, logits);
        Ok(())
    }

    fn prepare(&self, levels: &[u8], shape: Shape) -> std::result::Result<Vec<f32>, String> {
        if !matches!(shape.c, 1 | 3) || shape.is_empty() || levels.len() != shape.len() {
            return Err(format!("it takes 1 or 3 channels, these pictures have {}", shape.c));
        }
        Ok(resized(levels, shape))
    }
}

/// `[h, w, c]` to `[299, 299, 3]` from -1 to 1: linear as TensorFlow 1 has it, where pixel `i` is at `i in /
/// out` of the picture, not at its middle. All in f32, as it is there.
fn resized(levels: &[u8], shape: Shape) -> Vec<f32> {
    let places = |from: usize| -> Vec<(usize, usize, f32)> {
        let scale = from as f32 / SIDE as f32;
        (0..SIDE)
            .map(|i| {
                let at = i as f32 * scale;
                let low = (at as usize).min(from - 1);
                (low, (low + 1).min(from - 1), at - low as f32)
            })
            .collect()
    };
    let (rows, columns) = (places(shape.h), places(shape.w));
    let level = |y: usize, x: usize, c: usize| {
        f32::from(levels[(y * shape.w + x) * shape.c + if shape.c == 1 { 0 } else { c }])
    };
    let mut out = Vec::with_capacity(SIDE * SIDE * 3);
    for (y0, y1, fy) in &rows {
        for (x0, x1, fx) in &columns {
            for c in 0..3 {
                let row = |y: usize| {
                    let (a, b) = (level(y, *x0, c), level(y, *x1, c));
                    a + (b - a) * fx
                };
                let (top, bottom) = (row(*y0), row(*y1));
                out.push((top + (bottom - top) * fy - 128.0) / 128.0);
            }
        }
    }
    out
}
