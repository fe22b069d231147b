//! Group normalisation with what is fused into its apply.

use super::tangent::NormTangent;
use super::{first, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::activation::Activation;
use crate::kernels::norm;
use crate::shape::Shape;
use crate::weights::Param;

/// `act(norm(x) weight + bias [(1 + scale) + shift])`. Inputs: `x`, then the
/// vector `[scale, shift]` where present.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    groups: usize,
    eps: f64,
    weight: Option<Param>,
    bias: Option<Param>,
    /// Whether an embedding scales and shifts the result.
    pub scale_shift: bool,
    /// What is applied last.
    pub act: Activation,
}

impl GroupNorm {
    /// Weight and bias `[c]`, or none.
    pub fn new(groups: usize, eps: f64, weight: Option<Param>, bias: Option<Param>) -> Self {
        Self { groups, eps, weight, bias, scale_shift: false, act: Activation::Identity }
    }
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let x = *inputs.first().ok_or("takes an input")?;
        if self.groups == 0 || x.c % self.groups != 0 {
            return Err(format!("{} groups do not divide {} channels", self.groups, x.c));
        }
        for p in [&self.weight, &self.bias].into_iter().flatten() {
            if p.shape() != [x.c] {
                return Err(format!("`{}` has shape {:?}, wanted [{}]", p.name(), p.shape(), x.c));
            }
        }
        if self.scale_shift && inputs.get(1) != Some(&Shape::vector(2 * x.c)) {
            return Err(format!("the embedding must be a vector of {}", 2 * x.c));
        }
        Ok(x)
    }

    fn params(&self) -> Vec<&Param> {
        [&self.weight, &self.bias].into_iter().flatten().collect()
    }

    fn detail(&self) -> String {
        let mut text = format!("{} groups", self.groups);
        if self.scale_shift {
            text += ", scale and shift";
        }
        if self.act != Activation::Identity {
            text += &format!(", {:?}", self.act).to_lowercase();
        }
        text
    }

    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let dx = first(self, g, dx)?;
        if self.scale_shift || self.act != Activation::Identity {
            return Err(GraphError::Internal("tangents come before fusions".into()));
        }
        let op = NormTangent { groups: self.groups, eps: self.eps, weight: self.weight.clone() };
        g.push(op, &[x[0], dx])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let x = cx.shape(0);
        let norm = norm::GroupNorm {
            n: cx.n(),
            pixels: x.pixels(),
            c: x.c,
            groups: self.groups,
            eps: self.eps as f32,
            activation: self.act,
        };
        let mut vector = |p: &Option<Param>, value: f32| match p {
            Some(p) => cx.weight(p, "plain", |w| w),
            None => cx.constant(&format!("{value}.{}", x.c), move || vec![value; x.c]),
        };
        let gamma = vector(&self.weight, 1.0)?;
        let beta = vector(&self.bias, 0.0)?;
        let embedding =
            self.scale_shift.then(|| norm::Embedding { tensor: cx.input(1), channels: 2 * x.c, at: 0 });
        let part = cx.scratch(norm.part_len(cx.caps()))?;
        let coef = cx.scratch(norm.coef_len())?;
        cx.calls(norm.statistics(cx.caps(), cx.input(0), gamma, beta, embedding, part, coef));
        cx.calls(norm.apply(cx.caps(), cx.input(0), coef, cx.output()));
        Ok(())
    }
}
