//! Ops: one file each with the struct, its shape rule, its cost and its lowering
//! to kernels.

pub mod attention;
pub mod batch_norm;
pub mod concat;
pub mod constant;
pub mod conv;
pub mod depthwise;
pub mod elementwise;
pub mod embed;
pub mod fir;
pub mod group_norm;
pub mod mixture;
pub mod mixture_mean;
pub mod pixel_norm;
pub mod pool;
pub mod product;
pub mod resample;
pub mod slice;
pub mod tangent;
pub mod time;

use super::plan::Lower;
use super::{Graph, GraphError, Tensor};
use crate::kernels::Caps;
use crate::shape::Shape;
use crate::weights::Param;
use std::any::Any;
use std::fmt::Debug;

/// Where an op is lowered.
#[derive(Debug)]
pub struct Site<'a> {
    /// Images of the batch.
    pub n: usize,
    /// What kernels may use.
    pub caps: &'a Caps,
    /// Shapes of the inputs.
    pub inputs: &'a [Shape],
    /// The shape of the result.
    pub output: Shape,
}

/// An operation on tensors.
pub trait Op: Debug + Send + Sync + Any {
    /// The name in labels and errors.
    fn name(&self) -> &'static str;

    /// The shape of the result, or the rule that the inputs break.
    ///
    /// # Errors
    /// Says what was wanted and found.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// Multiply-adds for one image; 0 for ops that only move or touch numbers.
    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        let _ = (inputs, output);
        0
    }

    /// The weights that are read.
    fn params(&self) -> Vec<&Param> {
        Vec::new()
    }

    /// What tells this op from others of its name, shortly: `3x3, stride 2, + residual`.
    fn detail(&self) -> String {
        String::new()
    }

    /// Whether an image's result depends on the others of its batch.
    fn mixes_images(&self) -> bool {
        false
    }

    /// Whether the result may lie in an image, `[n, h, w, c]` in texels of four with `c` whole
    /// eights: for adapters that load those faster ([`Caps::images`]).
    fn writes_image(&self, at: &Site<'_>) -> bool {
        let _ = at;
        false
    }

    /// Whether input `i` may.
    fn reads_image(&self, at: &Site<'_>, i: usize) -> bool {
        let _ = (at, i);
        false
    }

    /// The input that lies in an image where the result does, and else does not, if there is one.
    fn shared(&self) -> Option<usize> {
        None
    }

    /// Adds the nodes of the result's tangent (forward mode): `x` are the inputs, `y` the
    /// result, `dx` the inputs' tangents, of which at least one is there; those that are
    /// not are 0.
    ///
    /// # Errors
    /// [`GraphError::NoTangent`] for an op without a rule.
    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        y: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let _ = (x, y, dx);
        Err(GraphError::NoTangent { op: self.name(), scope: g.scope() })
    }

    /// Emits the kernel calls.
    ///
    /// # Errors
    /// Weights that cannot be read, or an adapter without the means.
    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError>;
}

/// The op as a concrete type, for passes.
pub(crate) fn downcast<T: Op>(op: &dyn Op) -> Option<&T> {
    (op as &dyn Any).downcast_ref::<T>()
}

/// The tangent of the only input that may have one: the rule of an op that is linear in it.
fn first(op: &dyn Op, g: &Graph, dx: &[Option<Tensor>]) -> Result<Tensor, GraphError> {
    match dx {
        [Some(dx), rest @ ..] if rest.iter().all(Option::is_none) => Ok(*dx),
        _ => Err(GraphError::NoTangent { op: op.name(), scope: g.scope() }),
    }
}

/// Refuses another number of inputs than an op has.
fn arity<const N: usize>(inputs: &[Shape]) -> Result<[Shape; N], String> {
    inputs.try_into().map_err(|_| format!("takes {N} inputs, got {}", inputs.len()))
}
