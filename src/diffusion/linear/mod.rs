//! Linear degradations of images: what was done to a picture before it came here, and how far
//! that can be undone.
//!
//! A [`Degradation`] gives operators ([`Operator`]): itself, its adjoint and its pseudo-inverse, which a
//! program applies ([`Instruction::Apply`](super::program::Instruction::Apply)) on the host in f64 or on
//! the GPU. Two kinds have all of it in closed form: a factor for each number ([`Mask`]), and a matrix
//! along each axis ([`Axes`]: `A X B^T` on rows and columns, a matrix on channels), whose decomposition
//! is that of the small matrices.

mod axes;
mod mask;
mod matrix;

pub use axes::Axes;
pub use mask::Mask;
pub use matrix::{Matrix, Svd};

use super::Error;
use crate::shape::Shape;
use std::fmt::Debug;

/// A linear degradation `y = A x`.
pub trait Degradation: Debug + Send + Sync {
    /// What it is, in a word or two.
    fn name(&self) -> String;

    /// `A`.
    fn operator(&self) -> Operator;

    /// `A^T`.
    fn adjoint(&self) -> Operator;

    /// `A^+`, of Moore and Penrose: `A A^+ y` is the nearest to `y` that `A` can make.
    fn pseudo_inverse(&self) -> Operator;

    /// Its singular vectors, where they are known.
    fn spectrum(&self) -> Option<Spectrum>;

    /// The singular values, descending; none where they are not known.
    fn singular_values(&self) -> Option<Vec<f64>> {
        let (from, to) = (self.operator().from(), self.operator().to());
        let mut values = self.spectrum()?.values;
        values.sort_by(|a, b| b.total_cmp(a));
        values.truncate(from.len().min(to.len()));
        Some(values)
    }
}

/// The singular value decomposition `A = U S V^T`: a basis of images in which `A` is a factor for each
/// number.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// `V^T`, of an image to as many coefficients in the same shape.
    pub analysis: Operator,
    /// `V`, of coefficients to their image.
    pub synthesis: Operator,
    /// The singular value of each coefficient, `[h, w, c]`; 0 of what `A` cannot see, and of what its
    /// pseudo-inverse leaves out.
    pub values: Vec<f64>,
}

/// A linear map of images.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Each number times its own factor.
    Diagonal {
        /// Of the image.
        shape: Shape,
        /// `[h, w, c]`.
        factors: Vec<f64>,
    },
    /// A matrix along each axis; `None` leaves an axis as it is.
    Axes {
        /// Of the argument.
        from: Shape,
        /// Along the height.
        rows: Option<Matrix>,
        /// Along the width.
        columns: Option<Matrix>,
        /// Along the channels.
        channels: Option<Matrix>,
    },
}

impl Operator {
    /// The shape of its argument.
    pub fn from(&self) -> Shape {
        match self {
            Operator::Diagonal { shape, .. } => *shape,
            Operator::Axes { from, .. } => *from,
        }
    }

    /// The shape of its result.
    pub fn to(&self) -> Shape {
        match self {
            Operator::Diagonal { shape, .. } => *shape,
            Operator::Axes { from, rows, columns, channels } => Shape::new(
                rows.as_ref().map_or(from.h, Matrix::rows),
                columns.as_ref().map_or(from.w, Matrix::rows),
                channels.as_ref().map_or(from.c, Matrix::rows),
            ),
        }
    }

    /// Whether its parts fit each other and its numbers are finite.
    pub(crate) fn is_good(&self) -> bool {
        match self {
            Operator::Diagonal { shape, factors } => {
                Some(factors.len()) == shape.checked_len() && factors.iter().all(|f| f.is_finite())
            }
            Operator::Axes { from, rows, columns, channels } => {
                let fits = |m: &Option<Matrix>, n: usize| {
                    m.as_ref().is_none_or(|m| {
                        m.columns() == n && m.rows() > 0 && m.values().iter().all(|v| v.is_finite())
                    })
                };
                from.checked_len().is_some()
                    && fits(rows, from.h)
                    && fits(columns, from.w)
                    && fits(channels, from.c)
            }
        }
    }

    /// The result for one image, NHWC.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Operator::Diagonal { factors, .. } => x.iter().zip(factors).map(|(x, f)| x * f).collect(),
            Operator::Axes { .. } => {
                let mut x = x.to_vec();
                for along in self.passes() {
                    x = along.apply(&x);
                }
                x
            }
        }
    }

    /// The products along axes in the order in which they are made; none of a diagonal.
    pub(crate) fn passes(&self) -> Vec<Along<'_>> {
        let Operator::Axes { from, rows, columns, channels } = self else { return Vec::new() };
        let mut shape = *from;
        let mut list = Vec::new();
        if let Some(matrix) = columns {
            list.push(Along { matrix, outer: shape.h, inner: shape.c });
            shape.w = matrix.rows();
        }
        if let Some(matrix) = rows {
            list.push(Along { matrix, outer: 1, inner: shape.w * shape.c });
            shape.h = matrix.rows();
        }
        if let Some(matrix) = channels {
            list.push(Along { matrix, outer: shape.h * shape.w, inner: 1 });
        }
        list
    }
}

/// A product along one axis of `[outer, matrix.columns, inner]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Along<'a> {
    pub matrix: &'a Matrix,
    pub outer: usize,
    pub inner: usize,
}

impl Along<'_> {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let (m, inner) = (self.matrix, self.inner);
        let mut out = Vec::with_capacity(self.outer * m.rows() * inner);
        for block in x.chunks_exact(m.columns() * inner) {
            for r in 0..m.rows() {
                out.extend(
                    (0..inner)
                        .map(|i| (0..m.columns()).map(|c| m.at(r, c) * block[c * inner + i]).sum::<f64>()),
                );
            }
        }
        out
    }
}

/// A picture that was degraded, for samplers that restore.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// What was done to it.
    pub degradation: std::sync::Arc<dyn Degradation>,
    /// What is left of it, `[h, w, c]` of the operator's result, in the model's range.
    pub measured: Vec<f32>,
    /// The deviation of the noise in it, in the same range.
    pub noise: f64,
}

impl Restoration {
    /// Refuses noise, of a method that knows none.
    pub(super) fn noiseless(&self, sampler: super::Sampler) -> Result<(), Error> {
        match self.noise == 0.0 {
            true => Ok(()),
            false => {
                let need = format!("{} takes measurements without noise; choose ddrm", sampler.name());
                Err(Error::option("noise", self.noise, need))
            }
        }
    }

    /// Refuses a degradation of images of another shape, and measurements that do not fit it.
    pub(super) fn check(&self, shape: Shape) -> Result<(), Error> {
        let operator = self.degradation.operator();
        if operator.from() != shape {
            let need = format!("the model draws images of {shape}");
            return Err(Error::option("degradation", format!("of {}", operator.from()), need));
        }
        if self.measured.len() != operator.to().len() {
            let need = format!("{} leaves {} of an image", self.degradation.name(), operator.to());
            return Err(Error::option("measured", format!("{} numbers", self.measured.len()), need));
        }
        if !(self.noise >= 0.0 && self.noise.is_finite()) {
            return Err(Error::option("noise", self.noise, "choose 0 or more"));
        }
        match self.measured.iter().all(|v| v.is_finite()) {
            true => Ok(()),
            false => Err(Error::option("measured", "a value that is no number", "it must be finite")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Box<dyn Degradation>> {
        let shape = Shape::new(8, 12, 3);
        let known: Vec<bool> = (0..96).map(|i| i % 5 != 0).collect();
        vec![
            Box::new(Mask::new(shape, &known).unwrap()),
            Box::new(Axes::average(shape, 4).unwrap()),
            Box::new(Axes::bicubic(shape, 2).unwrap()),
            Box::new(Axes::grey(shape).unwrap()),
            Box::new(Axes::gaussian_blur(shape, 1.2).unwrap()),
        ]
    }

    fn numbers(n: usize, seed: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * seed).sin()).collect()
    }

    #[test]
    fn adjoints_and_pseudo_inverses_are_what_they_are_called() {
        for d in all() {
            let (a, t, p) = (d.operator(), d.adjoint(), d.pseudo_inverse());
            assert!(a.is_good() && t.is_good() && p.is_good());
            assert_eq!((a.from(), a.to()), (t.to(), t.from()));
            assert_eq!((a.from(), a.to()), (p.to(), p.from()));
            let (x, y) = (numbers(a.from().len(), 1.7), numbers(a.to().len(), 0.9));
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (left, right) = (dot(&a.apply(&x), &y), dot(&x, &t.apply(&y)));
            assert!((left - right).abs() < 1e-10 * left.abs().max(1.0), "{}", d.name());
            // A A^+ A = A, but for what a blur's inverse leaves out: A A^+ is a projection.
            let exact = !d.name().contains("blur");
            let once = if exact { a.apply(&x) } else { a.apply(&p.apply(&y)) };
            let again = a.apply(&p.apply(&once));
            let far = once.iter().zip(&again).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-9, "{}: {far}", d.name());
            // The largest singular value bounds what is made of any picture, and is reached nearly
            // enough to be one: by the power method.
            let mut v = numbers(a.from().len(), 0.37);
            let mut norm = 0.0;
            for _ in 0..300 {
                let w = t.apply(&a.apply(&v));
                norm = dot(&w, &w).sqrt();
                v = w.iter().map(|x| x / norm).collect();
            }
            let s = d.singular_values().unwrap();
            assert_eq!(s.len(), a.from().len().min(a.to().len()), "{}", d.name());
            assert!(s.windows(2).all(|p| p[0] >= p[1]));
            let near = norm.sqrt() / s[0];
            assert!((0.99..1.000001).contains(&near), "{}: {} {}", d.name(), s[0], norm.sqrt());
        }
    }

    /// `V` is orthogonal, and `|A V e_i|` is the value of coefficient i, but for what is left out.
    #[test]
    fn spectra_are_those_of_the_operators() {
        for d in all() {
            let Spectrum { analysis, synthesis, values } = d.spectrum().unwrap();
            let x = numbers(values.len(), 0.83);
            let back = synthesis.apply(&analysis.apply(&x));
            let far = x.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-10, "{}: {far}", d.name());
            let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!((norm(&analysis.apply(&x)) - norm(&x)).abs() < 1e-10, "{}", d.name());
            let (a, inverse) = (d.operator(), d.pseudo_inverse());
            for i in (0..values.len()).step_by(7) {
                let unit: Vec<f64> = (0..values.len()).map(|k| f64::from(u8::from(k == i))).collect();
                let of = inverse.apply(&a.apply(&synthesis.apply(&unit)));
                let seen = a.apply(&of);
                assert!(
                    (norm(&seen) - values[i]).abs() < 1e-9,
                    "{} {i}: {} {}",
                    d.name(),
                    norm(&seen),
                    values[i]
                );
            }
        }
    }

    #[test]
    fn degradations_do_what_they_say() {
        let shape = Shape::new(4, 4, 1);
        let x: Vec<f64> = (0..16).map(f64::from).collect();
        let mean = Axes::average(shape, 2).unwrap().operator().apply(&x);
        assert_eq!(mean, [2.5, 4.5, 10.5, 12.5]);
        // What is the same everywhere stays so.
        for d in all().iter().filter(|d| d.name() != "mask") {
            let a = d.operator();
            let flat = a.apply(&vec![0.5; a.from().len()]);
            assert!(flat.iter().all(|v| (v - 0.5).abs() < 1e-12), "{}: {flat:?}", d.name());
        }
        let grey = Axes::grey(Shape::new(1, 1, 3)).unwrap();
        assert!((grey.operator().apply(&[0.3, 0.6, 0.9])[0] - 0.6).abs() < 1e-12);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let shape = Shape::new(8, 12, 3);
        for e in [
            Axes::average(shape, 5).unwrap_err(),
            Axes::average(shape, 0).unwrap_err(),
            Axes::bicubic(shape, 3).unwrap_err(),
        ] {
            assert!(e.to_string().contains("scale"), "{e}");
        }
        assert!(Axes::grey(Shape::new(2, 2, 1)).unwrap_err().to_string().contains("channel"));
        assert!(Axes::gaussian_blur(shape, 0.0).unwrap_err().to_string().contains("deviation"));
        assert!(Mask::new(shape, &[true]).unwrap_err().to_string().contains("mask"));
        let mask = Mask::new(shape, &[true; 96]).unwrap();
        let of =
            |measured| Restoration { degradation: std::sync::Arc::new(mask.clone()), measured, noise: 0.0 };
        assert!(of(vec![0.0; 288]).check(shape).is_ok());
        assert!(of(vec![0.0; 7]).check(shape).unwrap_err().to_string().contains("7 numbers"));
        assert!(of(vec![f32::NAN; 288]).check(shape).is_err());
        assert!(of(vec![0.0; 288]).check(Shape::new(8, 8, 3)).unwrap_err().to_string().contains("8"));
    }
}
