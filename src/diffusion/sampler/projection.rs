//! Controlled generation with an unconditional score (Song et al. 2021, arXiv:2011.13456, appendix I.2
//! and I.3): after every update of predictor or corrector, what the measurement says of the state
//! is drawn anew from the forward process,
//!
//! ```text
//! x_ = (1 - m) x_ + m (a(t) y_ + s(t) z)
//! ```
//!
//! in a basis `x_ = V^T x` in which it is some of the coefficients (m): pixels for inpainting, the grey axis of
//! the colours for colorization, and in general the degradation's singular vectors. At the end it is
//! the measurement itself (in the authors' code its mean at the last time, `a(1e-3) y_`, 5e-5 of it away).

use super::super::program::{Instruction, Reg, Term};
use super::super::Error;
use super::solve::mix;
use super::view::Model;
use super::{Context, Sampler};

/// What the projections of a program share.
pub(super) struct Projection {
    y: Reg,
    measured: Reg,
    z: Reg,
    rest: Reg,
    part: Reg,
    seen: usize,
    /// `A^+`, `V^T` and `V`.
    operators: [usize; 3],
}

impl Projection {
    /// Of the picture to restore, if there is one.
    pub(super) fn new(
        m: &mut Model,
        context: &Context<'_>,
        sampler: Sampler,
    ) -> Result<Option<Projection>, Error> {
        if context.restoration.is_none() {
            return Ok(None);
        }
        let task = context.task(sampler)?;
        task.noiseless(sampler)?;
        let Some(spectrum) = task.degradation.spectrum() else {
            let need = "the projection wants its singular vectors, which are not known; choose ddnm";
            return Err(Error::option("degradation", task.degradation.name(), need));
        };
        let p = &mut m.program;
        let y = p.input("y", task.degradation.operator().to());
        let seen = p.operator("seen", spectrum.seen());
        let operators = [
            p.operator("A+", task.degradation.pseudo_inverse()),
            p.operator("V^T", spectrum.analysis),
            p.operator("V", spectrum.synthesis),
        ];
        let [measured, z, rest, part] = ["y_", "fresh", "rest", "part"].map(|name| m.register(name));
        Ok(Some(Projection { y, measured, z, rest, part, seen, operators }))
    }

    /// Before the first of them.
    pub(super) fn start(&self) -> Vec<Instruction> {
        let [inverse, analysis, _] = self.operators;
        vec![
            Instruction::Apply { dst: self.rest, operator: inverse, src: self.y },
            Instruction::Apply { dst: self.measured, operator: analysis, src: self.rest },
        ]
    }

    /// Puts the state at a time; the measurement itself at the last.
    pub(super) fn instructions(&self, m: &mut Model, t: f64, last: bool) -> Vec<Instruction> {
        let [_, analysis, synthesis] = self.operators;
        let (a, s) = if last { (1.0, 0.0) } else { (m.view.process.mean(t), m.view.process.std(t)) };
        let apply = |dst, operator, src| Instruction::Apply { dst, operator, src };
        let mut terms = vec![Term::new(a, self.measured), Term::new(-1.0, self.rest)];
        let mut list = vec![apply(self.rest, analysis, m.x)];
        if !last {
            list.push(m.noise(self.z));
            terms.push(Term::new(s, self.z));
        }
        list.extend([
            mix(self.rest, terms),
            apply(self.part, self.seen, self.rest),
            apply(self.rest, synthesis, self.part),
            mix(m.x, vec![Term::new(1.0, m.x), Term::new(1.0, self.rest)]),
        ]);
        list
    }
}
