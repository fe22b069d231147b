//! From the network's output to x0: conversion, then clamp or dynamic threshold.

use super::super::prediction::Views;
use super::super::program::{
    Binary, Coef, Expr, Instruction, Pointwise, Program, Reduce, Reg, Slot, SlotInit, Term,
};
use super::super::{Prediction, SchedulerConfig};
use super::{Error, Setup};

/// The instructions between the network's output and the register `x0`.
#[derive(Clone, Debug)]
pub(super) struct Denoise {
    pub(super) x0: Reg,
    prediction: Prediction,
    clip: Option<f64>,
    threshold: Option<Threshold>,
}

/// Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3):
/// `s` = a quantile of |x0|, brought into `[1, max]`; `x0 = clamp(x0, -s, s) / s`.
#[derive(Clone, Debug)]
struct Threshold {
    quantile: f64,
    max: f64,
    s: Slot,
    inverse: Slot,
}

/// Which limits of the configuration a sampler puts on x0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// `clip_sample`, and what it is where the file does not choose.
    pub(super) clip: Option<bool>,
    /// `thresholding`.
    pub(super) threshold: bool,
}

impl Limits {
    pub(super) const DDPM: Self = Self { clip: Some(true), threshold: true };
    pub(super) const NONE: Self = Self { clip: None, threshold: false };
    pub(super) const THRESHOLD: Self = Self { clip: None, threshold: true };
}

impl Denoise {
    pub(super) fn new(program: &mut Program, config: &SchedulerConfig, limits: Limits) -> Self {
        let shape = program.registers[program.output.0 as usize].shape;
        let thresholding = config.thresholding && limits.threshold;
        let clip_sample = match limits.clip {
            // DDPM's own default is in the configuration already.
            Some(true) => config.clip_sample,
            Some(false) => config.solver.clip_sample.unwrap_or(false),
            None => false,
        };
        let threshold = thresholding.then(|| Threshold {
            quantile: config.dynamic_thresholding_ratio,
            max: config.sample_max_value,
            s: program.slot("s", SlotInit::Unset),
            inverse: program.slot("1/s", SlotInit::Unset),
        });
        Self {
            x0: program.register("x0", shape),
            prediction: config.prediction_type,
            // As in diffusers, thresholding takes the place of clipping.
            clip: (clip_sample && !thresholding).then_some(config.clip_sample_range),
            threshold,
        }
    }

    /// Writes `x0`, given the state `x` and the network's `out`.
    pub(super) fn instructions(&self, views: Views, x: Reg, out: Reg) -> Vec<Instruction> {
        let mut terms = self.terms(views.x0.x, x);
        terms.push(Term::new(views.x0.out, out));
        let clamp = self.clip.map(|range| (-range, range));
        let mut list = vec![Instruction::Mix { dst: self.x0, terms, clamp }];
        if let Some(Threshold { quantile, max, s, inverse }) = self.threshold {
            let x0 = self.x0;
            let clamped =
                Expr::Slot(s).binary(Binary::Max, Expr::Const(1.0)).binary(Binary::Min, Expr::Const(max));
            let divided = Expr::Const(1.0).binary(Binary::Div, Expr::Slot(s));
            list.extend([
                Instruction::Reduce { slot: s, kind: Reduce::QuantileAbs(quantile), srcs: vec![x0] },
                Instruction::Scalar { slot: s, expr: clamped },
                Instruction::Scalar { slot: inverse, expr: divided },
                Instruction::Pointwise { dst: x0, f: Pointwise::Clamp(s), srcs: vec![x0] },
                Instruction::Mix {
                    dst: x0,
                    terms: vec![Term { coef: Coef::Slot(inverse), src: x0 }],
                    clamp: None,
                },
            ]);
        }
        list
    }

    /// The terms of `factor * eps` in `x` and `out`, eps as predicted: before
    /// clamp and threshold.
    pub(super) fn eps_terms(&self, views: Views, factor: f64, x: Reg, out: Reg) -> Vec<Term> {
        let mut terms = match self.prediction {
            Prediction::Epsilon => Vec::new(),
            Prediction::Sample | Prediction::V => vec![Term::new(factor * views.eps.x, x)],
        };
        terms.push(Term::new(factor * views.eps.out, out));
        terms
    }

    /// A term of `x`, where this prediction's x0 has one.
    fn terms(&self, coef: f64, x: Reg) -> Vec<Term> {
        match self.prediction {
            Prediction::Sample => Vec::new(),
            Prediction::Epsilon | Prediction::V => vec![Term::new(coef, x)],
        }
    }
}

impl Denoise {
    /// Whether x0 is clamped or thresholded.
    pub(super) fn is_limited(&self) -> bool {
        self.clip.is_some() || self.threshold.is_some()
    }

    pub(super) fn prediction(&self) -> Prediction {
        self.prediction
    }
}

impl Setup {
    /// The views of the prediction at `t`.
    pub(super) fn views(&self, t: usize) -> Result<Views, Error> {
        let prediction = self.denoise.prediction;
        prediction.views(self.alpha_bar(t)).ok_or_else(|| Error::Unsupported {
            sampler: self.program.name.clone(),
            t,
            reason: format!(
                "a model that predicts {} cannot start where alpha_bar is 0 (zero terminal SNR): \
                 the state holds nothing of the image; use a v_prediction or sample model, set \
                 rescale_betas_zero_snr to false, or leave this timestep out",
                prediction.name()
            ),
        })
    }
}
