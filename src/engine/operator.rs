//! Linear operators of restoration as kernel calls.

use crate::diffusion::linear::Operator;
use crate::graph::plan::{Buf, Builder};
use crate::graph::GraphError;
use crate::kernels::{axis::Axis, copy_channels::CopyChannels, elementwise, pointwise, Numbers};

use super::lower::constant;

/// Applies `map` to the images in `from`, into `to`, which is another buffer. The last call is the
/// one that completes the result.
pub(super) fn apply(
    b: &mut Builder,
    label: &str,
    map: &Operator,
    numbers: &Numbers<Buf>,
    (from, to): (Buf, Buf),
) -> Result<(), GraphError> {
    let (n, caps) = (b.n(), *b.caps());
    let result = Some((to, map.to().len()));
    let words = |values: &[f64]| values.iter().map(|v| (*v as f32).to_bits()).collect::<Vec<u32>>();
    match map {
        Operator::Diagonal { shape, factors } => {
            let factors = constant(b, "factors", words(factors).repeat(n));
            let call = pointwise::Pointwise { n, len: shape.len(), f: pointwise::Function::Mul };
            for c in call.calls(&caps, from, Some(factors), to, numbers) {
                b.call(label, c, result);
            }
        }
        Operator::Axes { from: shape, .. } => {
            let passes = map.passes();
            let mut src = from;
            for (i, along) in passes.iter().enumerate() {
                let m = along.matrix;
                let call =
                    Axis { outer: n * along.outer, from: m.columns(), to: m.rows(), inner: along.inner };
                let matrix = constant(b, "matrix", words(m.values()));
                let last = i + 1 == passes.len();
                let dst = if last { to } else { b.scratch(label, call.outer * call.to * call.inner)? };
                for c in call.calls(&caps, src, matrix, dst) {
                    b.call(label, c, result.filter(|_| last));
                }
                src = dst;
            }
            if passes.is_empty() {
                // No axis has a matrix: the same image.
                let c = shape.c;
                let copy =
                    CopyChannels { pixels: n * shape.pixels(), c, src_c: c, dst_c: c, ..Default::default() };
                copy.calls(&caps, from, to).into_iter().for_each(|c| b.call(label, c, result));
            }
        }
        Operator::Chain(parts) => {
            let mut src = from;
            for (i, part) in parts.iter().enumerate() {
                let last = i + 1 == parts.len();
                let dst = if last { to } else { b.scratch(label, n * part.to().len())? };
                apply(b, label, part, numbers, (src, dst))?;
                src = dst;
            }
        }
        Operator::Sum(parts) => {
            let mut sum = None;
            for (i, part) in parts.iter().enumerate() {
                let (shape, last) = (part.to(), i + 1 == parts.len());
                let Some(before) = sum else {
                    let first = if last { to } else { b.scratch(label, n * shape.len())? };
                    apply(b, label, part, numbers, (from, first))?;
                    sum = Some(first);
                    continue;
                };
                let own = b.scratch(label, n * shape.len())?;
                apply(b, label, part, numbers, (from, own))?;
                let dst = if last { to } else { b.scratch(label, n * shape.len())? };
                let add = elementwise::Elementwise {
                    n,
                    pixels: shape.pixels(),
                    c: shape.c,
                    ca: 1.0,
                    cb: 1.0,
                    second: elementwise::Second::Same,
                    ..Default::default()
                };
                for c in add.calls(&caps, before, Some(own), dst) {
                    b.call(label, c, result.filter(|_| last));
                }
                sum = Some(dst);
            }
        }
    }
    Ok(())
}
