//! The exact prediction for a mixture of Gaussians in the plane.

use super::{arity, first, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::mixture as kernel;
use crate::shape::Shape;
use crate::weights::Param;

/// Points `[n, h, w, 2]` and a time `[n, 1, 1, 1]` to the prediction `[n, h, w, 2]`; see
/// [`kernel::Mixture`].
#[derive(Clone, Debug)]
pub struct Mixture {
    /// `[k, 3]`: mean and log of the weight.
    pub components: Param,
    /// The variance of a component.
    pub variance: f64,
    /// What the network is told and says.
    pub form: kernel::Form,
}

impl Op for Mixture {
    fn name(&self) -> &'static str {
        "mixture"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x, t] = arity(inputs)?;
        match (x.c, t.len(), self.components.shape()) {
            (2, 1, [k, 3]) if (1..=kernel::MOST_COMPONENTS).contains(k) => Ok(x),
            (_, _, components) => Err(format!(
                "points of two channels, one time and components [1 to {}, 3] are wanted; these are {components:?}",
                kernel::MOST_COMPONENTS
            )),
        }
    }

    /// Two products for the distance, two for the mean.
    fn macs(&self, inputs: &[Shape], _: Shape) -> u64 {
        inputs.first().map_or(0, |x| (6 * x.pixels() * self.components.shape()[0]) as u64)
    }

    fn params(&self) -> Vec<&Param> {
        vec![&self.components]
    }

    fn detail(&self) -> String {
        format!("{} components", self.components.shape()[0])
    }

    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let dx = first(self, g, dx)?;
        g.push(MixtureTangent(self.clone()), &[x[0], x[1], dx])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let call = self.kernel(cx);
        let components = cx.weight(&self.components, "vec4", false, |c| kernel::Mixture::pack(&c))?;
        let calls = call.calls(cx.caps(), [cx.input(0), cx.input(1), components], cx.output());
        cx.calls(calls);
        Ok(())
    }
}

impl Mixture {
    fn kernel(&self, cx: &Lower<'_>) -> kernel::Mixture {
        kernel::Mixture {
            n: cx.n(),
            points: cx.shape(0).pixels(),
            k: self.components.shape()[0],
            variance: self.variance,
            form: self.form,
        }
    }
}

/// The derivative of the prediction along a direction in the points. Inputs points, time,
/// direction.
#[derive(Clone, Debug)]
pub struct MixtureTangent(pub Mixture);

impl Op for MixtureTangent {
    fn name(&self) -> &'static str {
        "mixture_tangent"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x, t, dx] = arity(inputs)?;
        match x == dx {
            true => self.0.shape(&[x, t]),
            false => Err("a tangent has the shape of what it belongs to".into()),
        }
    }

    fn params(&self) -> Vec<&Param> {
        self.0.params()
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let call = self.0.kernel(cx);
        let components = cx.weight(&self.0.components, "vec4", false, |c| kernel::Mixture::pack(&c))?;
        let inputs = [cx.input(0), cx.input(1), components];
        cx.calls(call.calls_tangent(cx.caps(), inputs, cx.input(2), cx.output()));
        Ok(())
    }
}
