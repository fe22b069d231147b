//! Linear degradations of images: what was done to a picture before it came here, and how far
//! that can be undone.
//!
//! A [`Degradation`] gives operators ([`Operator`]): itself, its adjoint and its pseudo-inverse, which a
//! program applies ([`Instruction::Apply`](super::program::Instruction::Apply)) on the host in f64 or on
//! the GPU. Three kinds have all of it in closed form: a factor for each number ([`Mask`]), a matrix
//! along each axis ([`Axes`]: `A X B^T` on rows and columns, a matrix on channels), whose decomposition
//! is that of the small matrices, and a circular blur by any kernel ([`Convolution`]), which is a factor for each
//! wave. [`Masked`] is a degraded picture of which a part is unknown.

mod axes;
mod convolution;
mod mask;
mod masked;
mod matrix;
mod operator;
pub mod plain;

pub use axes::Axes;
pub use convolution::Convolution;
pub use mask::Mask;
pub use masked::Masked;
pub use matrix::{Matrix, Svd};
pub use operator::Operator;

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

impl Spectrum {
    /// 1 for each coefficient that `A` sees, 0 for the others.
    pub fn seen(&self) -> Operator {
        let factors = self.values.iter().map(|s| f64::from(u8::from(*s > 0.0))).collect();
        Operator::Diagonal { shape: self.analysis.to(), factors }
    }
}

/// A picture that was degraded, for samplers that restore.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// What was done to it.
    pub degradation: std::sync::Arc<dyn Degradation>,
    /// What is left of it, `[h, w, c]` of the operator's result, in the model's range; or of as many pictures as
    /// images are drawn, `[count, h, w, c]`, one after the other.
    pub measured: Vec<f32>,
    /// The deviation of the noise in it, in the same range.
    pub noise: f64,
}

impl Restoration {
    /// That of some of its images; one picture serves all.
    #[must_use]
    pub fn of_images(&self, images: std::ops::Range<usize>) -> Restoration {
        let len = self.degradation.operator().to().len();
        let measured = match self.measured.len() == len {
            true => self.measured.clone(),
            false => self.measured.get(images.start * len..images.end * len).unwrap_or_default().to_vec(),
        };
        Restoration { measured, ..self.clone() }
    }

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
        if self.measured.is_empty() || !self.measured.len().is_multiple_of(operator.to().len().max(1)) {
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
            Box::new(
                Axes::average(shape, 2).unwrap().then(Axes::grey(Shape::new(4, 6, 3)).unwrap()).unwrap(),
            ),
            Box::new(Convolution::new(shape, (3, 5), &kernel()).unwrap()),
        ]
    }

    /// Of no symmetry.
    fn kernel() -> Vec<f64> {
        (0..15).map(|i| f64::from([5, 1, 0, 2, 7][i % 5]) + i as f64 * 0.2).collect()
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
            assert!(a.is_good() && d.adjoint().is_good(), "{}", d.name());
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
        let wide = Convolution::new(Shape::new(4, 4, 1), (5, 1), &[1.0; 5]).unwrap_err();
        assert!(wide.to_string().contains("kernel"), "{wide}");
        for bad in [vec![0.0; 9], vec![f64::NAN; 9], vec![1.0; 8]] {
            assert!(Convolution::new(shape, (3, 3), &bad).unwrap_err().to_string().contains("kernel"));
        }
        let grey = Axes::grey(Shape::new(4, 4, 3)).unwrap();
        assert!(Axes::average(shape, 2)
            .unwrap()
            .then(grey)
            .unwrap_err()
            .to_string()
            .contains("[n, 4, 6, 3]"));
        let mask = Mask::new(shape, &[true; 96]).unwrap();
        let of =
            |measured| Restoration { degradation: std::sync::Arc::new(mask.clone()), measured, noise: 0.0 };
        assert!(of(vec![0.0; 288]).check(shape).is_ok());
        assert!(of(vec![0.0; 7]).check(shape).unwrap_err().to_string().contains("7 numbers"));
        assert!(of(vec![f32::NAN; 288]).check(shape).is_err());
        assert!(of(vec![0.0; 288]).check(Shape::new(8, 8, 3)).unwrap_err().to_string().contains("8"));
    }
}
