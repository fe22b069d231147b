//! A degraded picture of which a part is unknown.

use super::{Degradation, Mask, Operator, Spectrum};
use crate::diffusion::Error;
use std::sync::Arc;

/// `M A`: what a degradation leaves, with pixels of it hidden.
#[derive(Clone, Debug)]
pub struct Masked {
    of: Arc<dyn Degradation>,
    mask: Mask,
}

impl Masked {
    /// `known` has a word for each pixel of what is left.
    ///
    /// # Errors
    /// Another number of pixels; a degradation that cannot make any picture of its size (a blur): of
    /// a part of it there is no inverse in closed form.
    pub fn new(of: Arc<dyn Degradation>, known: &[bool]) -> Result<Masked, Error> {
        let to = of.operator().to();
        let mask = Mask::new(to, known)?;
        let whole = of.singular_values().is_some_and(|s| s.len() == to.len() && s.iter().all(|s| *s > 0.0));
        match whole {
            true => Ok(Masked { of, mask }),
            false => {
                let need = "a part of it cannot be undone in closed form: leave the mask out";
                Err(Error::option("mask", of.name(), need))
            }
        }
    }
}

impl Degradation for Masked {
    fn name(&self) -> String {
        format!("{}, mask", self.of.name())
    }

    fn operator(&self) -> Operator {
        Operator::Chain(vec![self.of.operator(), self.mask.operator()])
    }

    fn adjoint(&self) -> Operator {
        Operator::Chain(vec![self.mask.operator(), self.of.adjoint()])
    }

    /// `A^+ M`: since `A A^+` is the identity, `M A A^+ M = M`, so that every measurement is kept. (It is Moore and
    /// Penrose's where `A^+` is `A^T` but for a factor; of others their first three conditions hold.)
    fn pseudo_inverse(&self) -> Operator {
        Operator::Chain(vec![self.mask.operator(), self.of.pseudo_inverse()])
    }

    fn spectrum(&self) -> Option<Spectrum> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::linear::Axes;
    use crate::shape::Shape;

    #[test]
    fn what_is_known_is_kept() {
        let shape = Shape::new(8, 12, 3);
        let known: Vec<bool> = (0..24).map(|i| i % 3 != 1).collect();
        for of in [Axes::average(shape, 2).unwrap(), Axes::bicubic(shape, 2).unwrap()] {
            let masked = Masked::new(Arc::new(of), &known).unwrap();
            let (a, p) = (masked.operator(), masked.pseudo_inverse());
            assert!(a.is_good() && p.is_good() && masked.adjoint().is_good());
            let x: Vec<f64> = (0..shape.len()).map(|i| (i as f64 * 0.7).sin()).collect();
            let y = a.apply(&x);
            assert!(y.iter().enumerate().all(|(i, v)| known[i / 3] || *v == 0.0));
            let far = a.apply(&p.apply(&y)).iter().zip(&y).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-12, "{far}");
        }
        let blur = Arc::new(Axes::gaussian_blur(shape, 2.0).unwrap());
        let error = Masked::new(blur, &[true; 96]).unwrap_err().to_string();
        assert!(error.contains("blur") && error.contains("mask"), "{error}");
        let average = Arc::new(Axes::average(shape, 2).unwrap());
        assert!(Masked::new(average, &[true; 96]).unwrap_err().to_string().contains("24"));
    }
}
