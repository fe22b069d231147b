//! Predictor-corrector sampling (Song et al. 2021, arXiv:2011.13456, algorithms 1 to 5).
//!
//! At each level first `corrector_steps` Langevin steps towards the level's density,
//!
//! ```text
//! x = x + eps score + sqrt(2 eps) z
//! langevin:  eps = 2 alpha (snr |z| / |score|)^2      (algorithms 4, 5)
//! ald:       eps = 2 alpha (snr s(t))^2               (annealed Langevin dynamics)
//! ```
//!
//! with `alpha = 1 - beta_k` of VP and 1 of VE, then the predictor's step to the level
//! below. A program step is one evaluation. Norms are each image's own; with `--error-control batch` their means over the
//! batch, as in the reference. The last step is the predictor's mean. A degraded picture is restored by
//! projections (`projection.rs`).

use super::super::continuous::Level;
use super::super::program::{Coef, Expr, Instruction, Program, Reduce, Reg, Slot, SlotInit, Term, Unary};
use super::super::Error;
use super::equation::{label, Equation};
use super::options::{Corrector, ErrorControl, Predictor};
use super::projection::Projection;
use super::solve::mix;
use super::view::Model;
use super::{ancestral, euler_maruyama, reverse_diffusion, Context, Sampler};

/// More corrections per step are taken for a mistake.
const MOST: usize = 1000;

/// The program of predictor and corrector.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let o = &context.options;
    let predictor = o.predictor.unwrap_or(Predictor::ReverseDiffusion);
    with(context, sampler, predictor, o.corrector.unwrap_or(Corrector::Langevin))
}

/// The program of a predictor with a corrector or without.
pub(super) fn with(
    context: &Context<'_>,
    sampler: Sampler,
    predictor: Predictor,
    corrector: Corrector,
) -> Result<Program, Error> {
    let mut m = Model::new(context, sampler)?;
    let flow = context.options.probability_flow;
    if flow && predictor == Predictor::Ancestral {
        let need = "ancestral sampling has no flow; choose euler_maruyama or reverse_diffusion";
        return Err(Error::option("probability_flow", "true", need));
    }
    let levels = m.view.levels(Model::count(context, sampler)?)?;
    let langevin = match corrector {
        Corrector::None => None,
        _ => Some(Langevin::new(&mut m, context, corrector)?),
    };
    let projection = Projection::new(&mut m, context, sampler)?;
    let mut z = None;
    for (k, level) in levels.iter().enumerate() {
        for _ in 0..langevin.as_ref().map_or(0, |l| l.steps) {
            let mut list: Vec<Instruction> =
                langevin.iter().flat_map(|l| l.instructions(&mut m, level)).collect();
            list.extend(projection.iter().flat_map(|p| p.instructions(&mut m, level.t, false)));
            m.push(label(level.t), list);
        }
        let update = match predictor {
            Predictor::EulerMaruyama => euler_maruyama::update(&m.view, level, flow),
            Predictor::ReverseDiffusion => reverse_diffusion::update(&m.view, level, flow),
            Predictor::Ancestral => ancestral::update(&m.view, level)?,
        };
        let mut list = m.evaluate(m.x, level.t);
        list.push(m.estimate(level.t));
        let mut terms = m.terms(update.mean, m.x);
        if k + 1 < levels.len() && update.noise > 0.0 {
            let z = *z.get_or_insert_with(|| langevin.as_ref().map_or_else(|| m.register("z"), |l| l.z));
            list.push(m.noise(z));
            terms.push(Term::new(update.noise, z));
        }
        list.push(mix(m.x, terms));
        let last = k + 1 == levels.len();
        list.extend(projection.iter().flat_map(|p| p.instructions(&mut m, level.t, last)));
        m.push(label(level.t), list);
    }
    if let (Some(projection), Some(first)) = (projection, m.program.steps.first_mut()) {
        first.instructions.splice(0..0, projection.start());
    }
    Ok(m.program)
}

/// Langevin's corrections.
struct Langevin {
    kind: Corrector,
    snr: f64,
    steps: usize,
    batch: bool,
    z: Reg,
    score: Reg,
    /// |z|, |score|, eps and sqrt(2 eps).
    slots: [Slot; 4],
}

impl Langevin {
    fn new(m: &mut Model, context: &Context<'_>, kind: Corrector) -> Result<Self, Error> {
        let o = &context.options;
        let snr = o.snr.unwrap_or(m.view.snr);
        if !(snr > 0.0 && snr.is_finite()) {
            return Err(Error::option("snr", snr, "it must be positive and finite"));
        }
        let steps = o.corrector_steps.unwrap_or(m.view.corrector_steps);
        if steps > MOST {
            return Err(Error::option("corrector_steps", steps, format!("choose at most {MOST}")));
        }
        let (z, score) = (m.register("z"), m.register("score"));
        let slots =
            ["|z|", "|score|", "eps", "sqrt(2 eps)"].map(|name| m.program.slot(name, SlotInit::Unset));
        let batch = o.error_control == ErrorControl::Batch;
        Ok(Self { kind, snr, steps, batch, z, score, slots })
    }

    fn instructions(&self, m: &mut Model, level: &Level) -> Vec<Instruction> {
        let alpha = level.keep * level.keep;
        let mut list = m.evaluate(m.x, level.t);
        list.push(m.noise(self.z));
        list.push(mix(self.score, m.terms(m.view.score(level.t), m.x)));
        let [norm_z, norm_score, eps, root] = self.slots;
        match self.kind {
            Corrector::Langevin => {
                list.extend(self.norm(norm_z, self.z));
                list.extend(self.norm(norm_score, self.score));
                let ratio = Expr::Slot(norm_z) / norm_score * self.snr;
                list.push(Instruction::Scalar { slot: eps, expr: ratio });
                let square = Expr::Slot(eps) * eps * (2.0 * alpha);
                list.push(Instruction::Scalar { slot: eps, expr: square });
            }
            _ => {
                let std = m.view.process.std(level.t);
                let expr = Expr::Const(2.0 * alpha * (self.snr * std).powi(2));
                list.push(Instruction::Scalar { slot: eps, expr });
            }
        }
        let expr = (Expr::Slot(eps) * 2.0).unary(Unary::Sqrt);
        list.push(Instruction::Scalar { slot: root, expr });
        let term = |slot, src| Term { coef: Coef::Slot(slot), src };
        list.push(mix(m.x, vec![Term::new(1.0, m.x), term(eps, self.score), term(root, self.z)]));
        list
    }

    /// The norm of a register.
    fn norm(&self, slot: Slot, of: Reg) -> Vec<Instruction> {
        let root = Expr::Slot(slot).unary(Unary::Sqrt);
        let mut list = vec![
            Instruction::Reduce { slot, kind: Reduce::SumSquares, srcs: vec![of] },
            Instruction::Scalar { slot, expr: root },
        ];
        list.extend(self.batch.then_some(Instruction::Mean { slot, src: slot }));
        list
    }
}
