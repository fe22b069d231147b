//! Floor 4: blocks that several models share, written against the graph's builder
//! and named as checkpoints name them.
//!
//! A [`Builder`] walks the checkpoint's module tree: [`Builder::scope`] enters a
//! module, and whatever is asked for within has the module's path before its name.

mod attention;
mod autoregressive;
pub mod fold;
mod ncsnpp;
mod nvae;
mod resnet;
mod sampling;
mod time;

pub use attention::{AttentionBlock, AttentionNames};
pub use ncsnpp::{Combine, Embedding, Ncsnpp, Progressive, ResblockType};
pub use nvae::{batch_norm_conv, Cell, CellKind, Resize};
pub use resnet::{adaptive_group_norm, Conditions, ResnetBlock, ResnetNames, Shortcut, TimeBias};
pub use sampling::{conv_down, conv_up, fir_conv_down, fir_down, fir_up, Resample};
pub use time::{time_mlp, TimeProjection};

use crate::graph::{Graph, GraphError, Tensor};
use crate::weights::{Param, Weights};

/// What every block returns: a tensor, or why it does not fit.
pub type Result<T> = std::result::Result<T, GraphError>;

/// A graph under construction, the weights that go into it, and the module that is being built.
pub struct Builder<'a> {
    /// The graph, for ops without weights.
    pub graph: &'a mut Graph,
    weights: &'a dyn Weights,
    path: Vec<String>,
    /// Batch norms take the statistics of the batch, as in training, and not those that they
    /// keep.
    pub batch_statistics: bool,
}

impl<'a> Builder<'a> {
    /// Starts at the root of the checkpoint's names.
    pub fn new(graph: &'a mut Graph, weights: &'a dyn Weights) -> Self {
        Self { graph, weights, path: Vec::new(), batch_statistics: false }
    }

    /// Builds a module: within `build`, names begin with `name`.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn scope<T>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.graph.enter(name);
        self.path.push(name.to_owned());
        let built = build(self);
        self.path.pop();
        self.graph.leave();
        built
    }

    /// The tensor `name` of the current module.
    ///
    /// # Errors
    /// As [`Weights::get`].
    pub fn param(&self, name: &str, shape: &[usize]) -> Result<Param> {
        let full = match self.path.is_empty() {
            true => name.to_owned(),
            false => format!("{}.{name}", self.path.join(".")),
        };
        Ok(self.weights.get(&full, shape)?)
    }

    /// The convolution `name` with bias: `[n, h, w, i]` to `[n, h', w', out]`, square
    /// kernel `k`, `padding` on top, bottom, left and right.
    ///
    /// # Errors
    /// Missing weights; an image smaller than the kernel.
    pub fn conv2d(
        &mut self,
        name: &str,
        x: Tensor,
        out: usize,
        k: usize,
        stride: usize,
        padding: [usize; 4],
    ) -> Result<Tensor> {
        let c = self.graph.shape(x).c;
        self.scope(name, |b| {
            let (weight, bias) = (b.param("weight", &[out, c, k, k])?, b.param("bias", &[out])?);
            b.graph.conv2d(x, &weight, Some(&bias), stride, padding)
        })
    }

    /// The 3 x 3 convolution `name` that keeps height and width.
    ///
    /// # Errors
    /// Missing weights.
    pub fn conv3x3(&mut self, name: &str, x: Tensor, out: usize) -> Result<Tensor> {
        self.conv2d(name, x, out, 3, 1, [1; 4])
    }

    /// The linear map `name` with bias, on the channels of every pixel: `[n, h, w, i]` to `[n, h, w, out]`.
    ///
    /// # Errors
    /// Missing weights.
    pub fn linear(&mut self, name: &str, x: Tensor, out: usize) -> Result<Tensor> {
        let c = self.graph.shape(x).c;
        self.scope(name, |b| {
            let (weight, bias) = (b.param("weight", &[out, c])?, b.param("bias", &[out])?);
            b.graph.linear(x, &weight, Some(&bias))
        })
    }

    /// The linear map `name` on the channels of every pixel, stored as score_sde does ("network
    /// in network"): `W` `[in, out]`, `b` `[out]`. `[n, h, w, i]` to `[n, h, w, out]`.
    ///
    /// # Errors
    /// Missing weights.
    pub fn nin(&mut self, name: &str, x: Tensor, out: usize) -> Result<Tensor> {
        let c = self.graph.shape(x).c;
        self.scope(name, |b| {
            let (weight, bias) = (b.param("W", &[c, out])?, b.param("b", &[out])?);
            let weight = weight.map("transposed", &[out, c], move |w| {
                (0..out * c).map(|i| w[i % c * out + i / c]).collect()
            });
            b.graph.linear(x, &weight, Some(&bias))
        })
    }

    /// [`Graph::tap`] with the name of the current module.
    pub fn tap(&mut self, x: Tensor) {
        let name = self.path.join(".");
        self.graph.tap(&name, x);
    }

    /// The group norm `name` with scale and bias. Shape is kept.
    ///
    /// # Errors
    /// Missing weights; channels that `groups` does not divide.
    pub fn group_norm(&mut self, name: &str, x: Tensor, groups: usize, eps: f64) -> Result<Tensor> {
        let c = self.graph.shape(x).c;
        self.scope(name, |b| {
            let (weight, bias) = (b.param("weight", &[c])?, b.param("bias", &[c])?);
            b.graph.group_norm(x, groups, eps, Some(&weight), Some(&bias))
        })
    }

    /// `x / divisor`; `x` itself where the divisor is one.
    ///
    /// # Errors
    /// None of its own.
    pub fn divide(&mut self, x: Tensor, divisor: f64) -> Result<Tensor> {
        match divisor == 1.0 {
            true => Ok(x),
            false => self.graph.affine(x, 1.0 / divisor, 0.0),
        }
    }
}
