//! Separable FIR resampling (StyleGAN2's upfirdn2d).

use super::{arity, first, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::fir as kernel;
use crate::shape::Shape;

/// `up - 1` zeros after each sample, zero padding, convolution with `taps` both
/// ways times `gain`, every `down`th sample kept.
#[derive(Clone, Debug)]
pub struct Fir {
    /// The filter of one axis.
    pub taps: Vec<f64>,
    /// Upsampling factor.
    pub up: usize,
    /// Downsampling factor.
    pub down: usize,
    /// Zeros before and after, each axis.
    pub pad: (usize, usize),
    /// The factor of the two-dimensional filter.
    pub gain: f64,
}

impl Fir {
    fn out(&self, size: usize) -> Option<usize> {
        let padded = size.checked_mul(self.up)?.checked_add(self.pad.0)?.checked_add(self.pad.1)?;
        Some(padded.checked_sub(self.taps.len())? / self.down + 1)
    }
}

impl Op for Fir {
    fn name(&self) -> &'static str {
        "fir"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        if self.taps.is_empty() || self.up == 0 || self.down == 0 {
            return Err("a filter needs taps and factors of 1 or more".into());
        }
        if !self.gain.is_finite() || self.gain < 0.0 {
            return Err(format!("a gain of {} has no root", self.gain));
        }
        match (self.out(x.h), self.out(x.w)) {
            (Some(h), Some(w)) => Ok(Shape::new(h, w, x.c)),
            _ => Err(format!("a filter of {} taps does not fit", self.taps.len())),
        }
    }

    fn detail(&self) -> String {
        format!("{} taps, up {}, down {}", self.taps.len(), self.up, self.down)
    }

    fn tangent(
        &self,
        g: &mut Graph,
        _: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let dx = first(self, g, dx)?;
        g.push(self.clone(), &[dx])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        // The gain is of the filter of both axes: each takes its root.
        let root = self.gain.sqrt();
        let filter: Vec<f32> = self.taps.iter().map(|t| (t * root) as f32).collect();
        let table = kernel::Fir::table(&filter);
        let key = format!("fir {:?}", table);
        let taps = cx.constant(&key, move || table)?;
        let call = kernel::Fir {
            up: self.up,
            down: self.down,
            pad0: self.pad.0 as isize,
            pad1: self.pad.1 as isize,
            taps: self.taps.len(),
        };
        cx.calls(call.calls(cx.caps(), cx.n(), cx.shape(0), cx.input(0), taps, cx.output()));
        Ok(())
    }
}
