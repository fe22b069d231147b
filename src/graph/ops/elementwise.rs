//! Element-by-element ops: activations, sums, factors.

use super::tangent::ActTangent;
use super::{arity, first, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::activation::Activation;
use crate::kernels::elementwise::{self as kernel, Second};
use crate::shape::Shape;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `act(x)`.
    Act(Activation),
    /// `a + b`; `b` of the same shape or a vector per image.
    Add,
    /// `x mul + add`.
    Affine {
        /// The factor.
        mul: f64,
        /// The constant.
        add: f64,
    },
    /// `x (1 + scale) + shift`; the second input is `[scale, shift]`.
    ScaleShift,
    /// `x / t`, one `t` per image.
    DivImage,
}

/// A function of one or two tensors, element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elementwise {
    /// The function.
    pub kind: Kind,
}

impl Op for Elementwise {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Act(_) => "activation",
            Kind::Add => "add",
            Kind::Affine { .. } => "affine",
            Kind::ScaleShift => "scale_shift",
            Kind::DivImage => "div_image",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let (x, second, wanted) = match self.kind {
            Kind::Act(_) | Kind::Affine { .. } => return arity(inputs).map(|[x]| x),
            Kind::Add => {
                let [a, b] = arity(inputs)?;
                if a == b {
                    return Ok(a);
                }
                (a, b, Shape::vector(a.c))
            }
            Kind::ScaleShift => {
                let [x, emb] = arity(inputs)?;
                (x, emb, Shape::vector(2 * x.c))
            }
            Kind::DivImage => {
                let [x, t] = arity(inputs)?;
                (x, t, Shape::vector(1))
            }
        };
        if second != wanted {
            return Err(format!("the second input must be {wanted}"));
        }
        Ok(x)
    }

    fn detail(&self) -> String {
        match self.kind {
            Kind::Act(act) => format!("{act:?}").to_lowercase(),
            Kind::Affine { mul, add } => format!("* {mul:.4} + {add:.4}"),
            Kind::Add | Kind::ScaleShift | Kind::DivImage => String::new(),
        }
    }

    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        if self.kind == Kind::Add {
            return match *dx {
                [Some(a), Some(b)] => g.add(a, b),
                [None, Some(b)] if g.shape(x[0]) == g.shape(b) => Ok(b),
                [None, Some(b)] => {
                    let zero = g.zeros_like(x[0])?;
                    g.add(zero, b)
                }
                _ => first(self, g, dx),
            };
        }
        let dx = first(self, g, dx)?;
        match self.kind {
            Kind::Act(Activation::Identity) | Kind::Add => Ok(dx),
            Kind::Act(act) => g.push(ActTangent(act), &[x[0], dx]),
            Kind::Affine { mul, .. } => g.affine(dx, mul, 0.0),
            Kind::DivImage => g.div_image(dx, x[1]),
            // (1 + scale) dx is what dx becomes, less what 0 becomes: the shift.
            Kind::ScaleShift => {
                let zero = g.zeros_like(dx)?;
                let shift = g.scale_shift(zero, x[1])?;
                let (whole, shift) = (g.scale_shift(dx, x[1])?, g.affine(shift, -1.0, 0.0)?);
                g.add(whole, shift)
            }
        }
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let shape = cx.output_shape();
        let mut call = kernel::Elementwise {
            n: cx.n(),
            pixels: shape.pixels(),
            c: shape.c,
            ca: 1.0,
            cb: 1.0,
            ..Default::default()
        };
        let mut b = None;
        match self.kind {
            Kind::Act(act) => call.activation = act,
            Kind::Affine { mul, add } => (call.ca, call.d) = (mul as f32, add as f32),
            Kind::Add => {
                let second = cx.shape(1);
                call.second =
                    if second == shape { Second::Same } else { Second::Vector { channels: shape.c, at: 0 } };
                b = Some(cx.input(1));
            }
            Kind::ScaleShift => {
                call.second = Second::ScaleShift { channels: 2 * shape.c, at: 0 };
                b = Some(cx.input(1));
            }
            Kind::DivImage => {
                call.second = Second::Over;
                b = Some(cx.input(1));
            }
        }
        cx.calls(call.calls(cx.caps(), cx.input(0), b, cx.output()));
        Ok(())
    }
}
