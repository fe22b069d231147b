//! Group normalisation with what is fused into its apply.

use super::tangent::NormTangent;
use super::{first, Op, Site};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::activation::Activation;
use crate::kernels::norm;
use crate::shape::Shape;
use crate::weights::Param;

/// `act(norm(x) weight + bias [(1 + scale) + shift])`. Inputs: `x` (or the tensors
/// whose channels make it up), then a vector that holds `[scale, shift]` where present.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    pub(crate) groups: usize,
    pub(crate) eps: f64,
    pub(crate) weight: Option<Param>,
    pub(crate) bias: Option<Param>,
    /// Of how many tensors the normed one is made, channels after channels.
    pub parts: usize,
    /// The first channel of `scale` in the vector that scales and shifts, if one does.
    pub scale_shift: Option<usize>,
    /// What is applied last.
    pub act: Activation,
}

impl GroupNorm {
    /// Weight and bias `[c]`, or none.
    pub fn new(groups: usize, eps: f64, weight: Option<Param>, bias: Option<Param>) -> Self {
        Self { groups, eps, weight, bias, parts: 1, scale_shift: None, act: Activation::Identity }
    }
}

impl GroupNorm {
    fn kernel(&self, n: usize, x: Shape) -> norm::GroupNorm {
        norm::GroupNorm {
            n,
            pixels: x.pixels(),
            c: x.c,
            groups: self.groups,
            eps: self.eps as f32,
            activation: self.act,
        }
    }
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let wanted = self.parts + usize::from(self.scale_shift.is_some());
        let (parts, rest) = inputs.split_at_checked(self.parts).unwrap_or_default();
        let (Some(first), true) = (parts.first(), inputs.len() == wanted) else {
            return Err(format!("takes {wanted} inputs, got {}", inputs.len()));
        };
        if parts.iter().any(|p| (p.h, p.w) != (first.h, first.w)) {
            return Err("images of different sizes are joined".into());
        }
        let x = first.with_c(parts.iter().map(|p| p.c).sum());
        if self.groups == 0 || x.c % self.groups != 0 {
            return Err(format!("{} groups do not divide {} channels", self.groups, x.c));
        }
        for p in [&self.weight, &self.bias].into_iter().flatten() {
            if p.shape() != [x.c] {
                return Err(format!("`{}` has shape {:?}, wanted [{}]", p.name(), p.shape(), x.c));
            }
        }
        if let (Some(at), Some(e)) = (self.scale_shift, rest.first()) {
            if e.pixels() != 1 || e.c < at.saturating_add(2 * x.c) {
                return Err(format!("the embedding must be a vector of {}", at + 2 * x.c));
            }
        }
        Ok(x)
    }

    fn params(&self) -> Vec<&Param> {
        [&self.weight, &self.bias].into_iter().flatten().collect()
    }

    fn detail(&self) -> String {
        let mut text = format!("{} groups", self.groups);
        if self.parts > 1 {
            text += &format!(", {} tensors as one", self.parts);
        }
        if self.scale_shift.is_some() {
            text += ", scale and shift";
        }
        if self.act != Activation::Identity {
            text += &format!(", {:?}", self.act).to_lowercase();
        }
        text
    }

    fn writes_image(&self, at: &Site<'_>) -> bool {
        self.kernel(at.n, at.output).writes_image(at.caps, at.inputs[..self.parts].iter().map(|s| s.c))
    }

    fn reads_image(&self, at: &Site<'_>, i: usize) -> bool {
        // The width of loads is one for all parts.
        let channels = at.inputs[..self.parts].iter().map(|s| s.c);
        i < self.parts && self.kernel(at.n, at.output).reads_image(at.caps, channels)
    }

    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let dx = first(self, g, dx)?;
        if self.scale_shift.is_some() || self.parts > 1 || self.act != Activation::Identity {
            return Err(GraphError::Internal("tangents come before fusions".into()));
        }
        let op = NormTangent { groups: self.groups, eps: self.eps, weight: self.weight.clone() };
        g.push(op, &[x[0], dx])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let x = cx.output_shape();
        let xs: Vec<_> = (0..self.parts)
            .map(|i| norm::Part {
                tensor: cx.input(i),
                channels: cx.shape(i).c,
                image: cx.is_image(cx.input(i)),
            })
            .collect();
        let norm = self.kernel(cx.n(), x);
        let mut vector = |p: &Option<Param>, value: f32| match p {
            Some(p) => cx.weight(p, "plain", false, |w| w),
            None => cx.constant(&format!("{value}.{}", x.c), move || vec![value; x.c]),
        };
        let gamma = vector(&self.weight, 1.0)?;
        let beta = vector(&self.bias, 0.0)?;
        let embedding = self.scale_shift.map(|at| norm::Embedding {
            tensor: cx.input(self.parts),
            channels: cx.shape(self.parts).c,
            at,
        });
        let part = cx.scratch(norm.part_len(cx.caps()))?;
        let coef = cx.scratch(norm.coef_len())?;
        cx.calls(norm.statistics(cx.caps(), &xs, gamma, beta, embedding, part, coef));
        cx.calls(norm.apply(cx.caps(), &xs, coef, cx.output(), cx.is_image(cx.output())));
        Ok(())
    }
}
