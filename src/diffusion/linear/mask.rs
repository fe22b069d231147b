//! Pixels that are known and pixels that are not.

use super::{Degradation, Operator, Spectrum};
use crate::diffusion::Error;
use crate::shape::Shape;

/// Keeps known pixels and makes others 0: its own adjoint and its own pseudo-inverse.
#[derive(Clone, Debug)]
pub struct Mask {
    shape: Shape,
    factors: Vec<f64>,
}

impl Mask {
    /// Of images of `shape`; `known` has a word for each pixel, row by row.
    ///
    /// # Errors
    /// Another number of pixels.
    pub fn new(shape: Shape, known: &[bool]) -> Result<Mask, Error> {
        if known.len() != shape.pixels() {
            let need = format!("an image of {shape} has {}", shape.pixels());
            return Err(Error::option("mask", format!("{} pixels", known.len()), need));
        }
        let factors = known.iter().flat_map(|k| vec![f64::from(u8::from(*k)); shape.c]).collect();
        Ok(Mask { shape, factors })
    }
}

impl Degradation for Mask {
    fn name(&self) -> String {
        "mask".into()
    }

    fn operator(&self) -> Operator {
        Operator::Diagonal { shape: self.shape, factors: self.factors.clone() }
    }

    fn adjoint(&self) -> Operator {
        self.operator()
    }

    fn pseudo_inverse(&self) -> Operator {
        self.operator()
    }

    fn spectrum(&self) -> Option<Spectrum> {
        let same = || Operator::Axes { from: self.shape, rows: None, columns: None, channels: None };
        Some(Spectrum { analysis: same(), synthesis: same(), values: self.factors.clone() })
    }
}
