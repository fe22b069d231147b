//! Norms that do not depend on the image, folded into the weights beside them when these are
//! read: weight norm, and batch norm in evaluation. All sums in f64. (Batch norm that takes its
//! statistics of the batch stays an op of its own.)

use super::{Builder, Result};
use crate::graph::{Act, Tensor};
use crate::weights::Param;

/// Batch norm's epsilon.
const BATCH_NORM_EPS: f64 = 1e-5;
/// Weight norm's.
const WEIGHT_NORM_EPS: f64 = 1e-5;

/// The convolution of a module: its weight and, perhaps, bias.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[out, in, k, k]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
}

/// What a weight, a norm's factors and summands, and a bias make together.
type Folding = fn(&[f32], &[(f64, f64)], &[f32]) -> Vec<f32>;

/// A batch norm: `weight`, `bias`, `running_mean`, `running_var`, each `[c]`.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    parts: Vec<Param>,
    c: usize,
    /// Of the batch's own statistics.
    live: bool,
}

/// Factor and summand of a channel.
fn affine(parts: &[Vec<f32>]) -> Vec<(f64, f64)> {
    let value = |k: usize, i: usize| f64::from(parts.get(k).and_then(|p| p.get(i)).copied().unwrap_or(0.0));
    (0..parts.first().map_or(0, Vec::len))
        .map(|i| {
            let factor = value(0, i) / (value(3, i) + BATCH_NORM_EPS).sqrt();
            (factor, value(1, i) - value(2, i) * factor)
        })
        .collect()
}

/// `exp(g) w / (|w| + eps)` of each output (Salimans and Kingma 2016, as NVAE has it).
pub fn weight_norm(weight: Param, log_norm: Param) -> Param {
    let shape = weight.shape().to_vec();
    Param::fold("weight norm", &shape, vec![weight, log_norm], |parts| {
        let [weight, log_norm] = &parts[..] else { return Vec::new() };
        let each = (weight.len() / log_norm.len().max(1)).max(1);
        let filters = weight.chunks(each).zip(log_norm);
        let scaled = filters.flat_map(|(filter, log)| {
            let norm = filter.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
            let factor = f64::from(*log).exp() / (norm + WEIGHT_NORM_EPS);
            filter.iter().map(move |w| (f64::from(*w) * factor) as f32)
        });
        scaled.collect()
    })
}

impl Builder<'_> {
    /// The weights of the convolution `name`, weight norm folded where it has one
    /// (`log_weight_norm` `[out, 1, 1, 1]`).
    ///
    /// # Errors
    /// Missing weights.
    pub fn conv_weights(
        &mut self,
        name: &str,
        shape: [usize; 4],
        bias: bool,
        weight_norm: bool,
    ) -> Result<Conv> {
        self.scope(name, |b| {
            let mut weight = b.param("weight", &shape)?;
            if weight_norm {
                weight = self::weight_norm(weight, b.param("log_weight_norm", &[shape[0], 1, 1, 1])?);
            }
            let bias = bias.then(|| b.param("bias", &[shape[0]])).transpose()?;
            Ok(Conv { weight, bias })
        })
    }

    /// The square convolution `name` that keeps height and width (of stride 1), with weight norm.
    ///
    /// # Errors
    /// Missing weights.
    pub fn normed_conv(
        &mut self,
        name: &str,
        x: Tensor,
        out: usize,
        k: usize,
        stride: usize,
        bias: bool,
    ) -> Result<Tensor> {
        let c = self.graph.shape(x).c;
        let conv = self.conv_weights(name, [out, c, k, k], bias, true)?;
        self.graph.conv2d(x, &conv.weight, conv.bias.as_ref(), stride, [k / 2; 4])
    }

    /// The batch norm `name` of `c` channels.
    ///
    /// # Errors
    /// Missing weights.
    pub fn batch_norm(&mut self, name: &str, c: usize) -> Result<BatchNorm> {
        let names = ["weight", "bias", "running_mean", "running_var"];
        let parts = self.scope(name, |b| names.iter().map(|n| b.param(n, &[c])).collect())?;
        Ok(BatchNorm { parts, c, live: self.batch_statistics })
    }
}

impl BatchNorm {
    /// On its own, and `act` after it: `[n, h, w, c]` to the same.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn apply(&self, b: &mut Builder<'_>, x: Tensor, act: Act) -> Result<Tensor> {
        if let (true, [weight, bias, ..]) = (self.live, &self.parts[..]) {
            return b.graph.batch_norm(x, (weight, bias), BATCH_NORM_EPS, act);
        }
        let part = |how: &str, shape: &[usize], pick: fn((f64, f64)) -> f64| {
            Param::fold(how, shape, self.parts.clone(), move |parts| {
                affine(&parts).into_iter().map(|a| pick(a) as f32).collect()
            })
        };
        let factor = part("batch norm's factor", &[self.c, 1, 1, 1], |a| a.0);
        let summand = part("batch norm's summand", &[self.c], |a| a.1);
        b.graph.depthwise(x, (&factor, &summand), 1, [0; 4], act)
    }

    /// A convolution, which `run` builds from its weights with the activation after it, with this
    /// norm between both.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn behind(
        &self,
        b: &mut Builder<'_>,
        conv: &Conv,
        act: Act,
        run: impl FnOnce(&mut Builder<'_>, &Conv, Act) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if !self.live {
            return run(b, &self.after(conv), act);
        }
        let c = self.c;
        let zeros = || Param::lazy(format!("zeros.{c}"), &[c], move || vec![0.0; c]);
        let bias = Some(conv.bias.clone().unwrap_or_else(zeros));
        let h = run(b, &Conv { weight: conv.weight.clone(), bias }, Act::Identity)?;
        self.apply(b, h, act)
    }

    /// This norm, then a 1 x 1 convolution without bias, which `run` builds.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn ahead(
        &self,
        b: &mut Builder<'_>,
        x: Tensor,
        conv: &Conv,
        run: impl FnOnce(&mut Builder<'_>, Tensor, &Conv) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if !self.live {
            return run(b, x, &self.before(conv));
        }
        let h = self.apply(b, x, Act::Identity)?;
        run(b, h, conv)
    }

    /// The convolution with this norm after it.
    fn after(&self, conv: &Conv) -> Conv {
        let weight = self.with(conv, "batch norm after", conv.weight.shape(), |weight, norm, _| {
            let each = (weight.len() / norm.len().max(1)).max(1);
            weight.iter().enumerate().map(|(i, w)| (f64::from(*w) * norm[i / each].0) as f32).collect()
        });
        let bias = self.with(conv, "batch norm's bias after", &[self.c], |_, norm, bias| {
            let before = |i: usize| bias.get(i).map_or(0.0, |b| f64::from(*b));
            norm.iter().enumerate().map(|(i, a)| (before(i) * a.0 + a.1) as f32).collect()
        });
        Conv { weight, bias: Some(bias) }
    }

    /// The 1 x 1 convolution, which has no bias, with this norm before it.
    fn before(&self, conv: &Conv) -> Conv {
        let out = conv.weight.shape().first().copied().unwrap_or(0);
        let weight = self.with(conv, "batch norm before", conv.weight.shape(), |weight, norm, _| {
            let factors = norm.iter().cycle().map(|a| a.0);
            weight.iter().zip(factors).map(|(w, f)| (f64::from(*w) * f) as f32).collect()
        });
        let bias = self.with(conv, "batch norm's bias before", &[out], |weight, norm, _| {
            let sum =
                |row: &[f32]| row.iter().zip(norm).map(|(w, a)| f64::from(*w) * a.1).sum::<f64>() as f32;
            weight.chunks(norm.len().max(1)).map(sum).collect()
        });
        Conv { weight, bias: Some(bias) }
    }

    /// A tensor made of the convolution's weight, the norm's factors and summands, and the
    /// convolution's bias, empty where it has none.
    fn with(&self, conv: &Conv, how: &str, shape: &[usize], f: Folding) -> Param {
        let parts = std::iter::once(&conv.weight).chain(&self.parts).chain(&conv.bias).cloned().collect();
        Param::fold(how, shape, parts, move |parts| {
            let [weight, norm @ ..] = &parts[..] else { return Vec::new() };
            let bias = norm.get(4).map_or(&[][..], |b| b);
            f(weight, &affine(norm), bias)
        })
    }
}
