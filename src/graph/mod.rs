//! Stub of floor 2, replaced on merge: checks shapes and records nothing else.

use crate::shape::Shape;
use crate::weights::{Param, WeightsError};

/// A tensor of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor(pub(crate) u32);

/// An activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// x sigmoid(x).
    Silu,
    /// max(x, 0).
    Relu,
    /// x Phi(x), exact.
    Gelu,
    /// x tanh(softplus(x)).
    Mish,
}

/// Errors of floor 2.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Shapes that do not fit.
    #[error("{op} at `{scope}`: {what}")]
    Shape {
        /// The op.
        op: &'static str,
        /// The module.
        scope: String,
        /// The rule that is broken.
        what: String,
    },
    /// A weight could not be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

type Result<T> = std::result::Result<T, GraphError>;

/// A network under construction.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    shapes: Vec<Shape>,
    scope: Vec<String>,
    taps: Vec<(String, Tensor)>,
}

#[allow(missing_docs, clippy::missing_errors_doc)]
impl Graph {
    pub fn new() -> Graph {
        Graph::default()
    }
    fn push(&mut self, shape: Shape) -> Result<Tensor> {
        if shape.checked_len().is_none() {
            return self.bad("size", format!("{shape} is empty or too large"));
        }
        self.shapes.push(shape);
        Ok(Tensor(self.shapes.len() as u32 - 1))
    }
    fn bad<T>(&self, op: &'static str, what: String) -> Result<T> {
        Err(GraphError::Shape { op, scope: self.scope.join("."), what })
    }
    fn want(&self, op: &'static str, ok: bool, what: impl FnOnce() -> String) -> Result<()> {
        match ok {
            true => Ok(()),
            false => self.bad(op, what()),
        }
    }
    pub fn input(&mut self, _name: &str, shape: Shape) -> Result<Tensor> {
        self.push(shape)
    }
    pub fn output(&mut self, _name: &str, _x: Tensor) {}
    pub fn tap(&mut self, name: &str, x: Tensor) {
        self.taps.push((name.to_owned(), x));
    }
    pub fn taps(&self) -> &[(String, Tensor)] {
        &self.taps
    }
    pub fn enter(&mut self, name: &str) {
        self.scope.push(name.to_owned());
    }
    pub fn leave(&mut self) {
        self.scope.pop();
    }
    pub fn shape(&self, x: Tensor) -> Shape {
        self.shapes[x.0 as usize]
    }
    pub fn conv2d(
        &mut self,
        x: Tensor,
        weight: &Param,
        bias: Option<&Param>,
        stride: usize,
        padding: [usize; 4],
    ) -> Result<Tensor> {
        let s = self.shape(x);
        let &[o, i, kh, kw] = weight.shape() else { return self.bad("conv2d", format!("{weight:?}")) };
        self.want("conv2d", i == s.c, || format!("{weight:?} on {s}"))?;
        self.want("conv2d", bias.is_none_or(|b| b.shape() == [o]), || format!("{bias:?}"))?;
        let (h, w) = (s.h + padding[0] + padding[1], s.w + padding[2] + padding[3]);
        self.want("conv2d", h >= kh && w >= kw, || format!("{weight:?} on {s}"))?;
        self.push(Shape::new((h - kh) / stride + 1, (w - kw) / stride + 1, o))
    }
    pub fn linear(&mut self, x: Tensor, weight: &Param, bias: Option<&Param>) -> Result<Tensor> {
        let s = self.shape(x);
        let &[o, i] = weight.shape() else { return self.bad("linear", format!("{weight:?}")) };
        self.want("linear", i == s.c && bias.is_none_or(|b| b.shape() == [o]), || {
            format!("{weight:?} {bias:?} on {s}")
        })?;
        self.push(s.with_c(o))
    }
    pub fn group_norm(
        &mut self,
        x: Tensor,
        groups: usize,
        _eps: f64,
        weight: Option<&Param>,
        bias: Option<&Param>,
    ) -> Result<Tensor> {
        let s = self.shape(x);
        let ok = |p: Option<&Param>| p.is_none_or(|p| p.shape() == [s.c]);
        self.want("group_norm", groups > 0 && s.c % groups == 0 && ok(weight) && ok(bias), || {
            format!("{groups} groups of {s}")
        })?;
        self.push(s)
    }
    pub fn act(&mut self, x: Tensor, _act: Act) -> Result<Tensor> {
        self.push(self.shape(x))
    }
    pub fn add(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        let (s, t) = (self.shape(a), self.shape(b));
        self.want("add", s == t || t == Shape::vector(s.c), || format!("{s} and {t}"))?;
        self.push(s)
    }
    pub fn affine(&mut self, x: Tensor, _mul: f64, _add: f64) -> Result<Tensor> {
        self.push(self.shape(x))
    }
    pub fn scale_shift(&mut self, x: Tensor, emb: Tensor) -> Result<Tensor> {
        let (s, t) = (self.shape(x), self.shape(emb));
        self.want("scale_shift", t == Shape::vector(2 * s.c), || format!("{s} and {t}"))?;
        self.push(s)
    }
    pub fn div_image(&mut self, x: Tensor, t: Tensor) -> Result<Tensor> {
        self.want("div_image", self.shape(t) == Shape::vector(1), || format!("{}", self.shape(t)))?;
        self.push(self.shape(x))
    }
    pub fn concat(&mut self, a: Tensor, b: Tensor) -> Result<Tensor> {
        let (s, t) = (self.shape(a), self.shape(b));
        self.want("concat", s.h == t.h && s.w == t.w, || format!("{s} and {t}"))?;
        self.push(s.with_c(s.c + t.c))
    }
    pub fn upsample_nearest(&mut self, x: Tensor, to: (usize, usize)) -> Result<Tensor> {
        self.push(Shape::new(to.0, to.1, self.shape(x).c))
    }
    pub fn avg_pool(&mut self, x: Tensor, k: usize) -> Result<Tensor> {
        let s = self.shape(x);
        self.push(Shape::new(s.h / k, s.w / k, s.c))
    }
    pub fn fir(
        &mut self,
        x: Tensor,
        taps: &[f64],
        up: usize,
        down: usize,
        pad: (usize, usize),
        _gain: f64,
    ) -> Result<Tensor> {
        let s = self.shape(x);
        let size = |n: usize| (n * up + pad.0 + pad.1).saturating_sub(taps.len()) / down + 1;
        self.push(Shape::new(size(s.h), size(s.w), s.c))
    }
    pub fn attention(
        &mut self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: usize,
        _scale: f64,
    ) -> Result<Tensor> {
        let (s, t) = (self.shape(q), self.shape(k));
        self.want("attention", heads > 0 && s.c % heads == 0 && s.c == t.c && t == self.shape(v), || {
            format!("{s} {t}")
        })?;
        self.push(s)
    }
    pub fn sinusoidal(
        &mut self,
        _t: Tensor,
        dim: usize,
        _flip: bool,
        _shift: f64,
        _scale: f64,
        _max_period: f64,
    ) -> Result<Tensor> {
        self.push(Shape::vector(dim))
    }
    pub fn fourier(&mut self, _t: Tensor, weight: &Param, _log: bool, _flip: bool) -> Result<Tensor> {
        self.push(Shape::vector(2 * weight.count()))
    }
    pub fn embedding(&mut self, _label: Tensor, table: &Param) -> Result<Tensor> {
        let &[_, d] = table.shape() else { return self.bad("embedding", format!("{table:?}")) };
        self.push(Shape::vector(d))
    }
}
