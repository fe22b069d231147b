//! PNDM: pseudo numerical methods (Liu et al. 2022, arXiv:2202.09778, algorithms 1
//! and 2; diffusers' `PNDMScheduler`).
//!
//! Classical formulas give an eps, and DDIM's step is taken with it (eq. 11):
//!
//! ```text
//! x_s = sqrt(b / a) x - (b - a) eps / (a sqrt(1 - b) + sqrt(a (1 - a) b)),  a = alpha_bar_t, b = alpha_bar_s
//! eps = (55 e0 - 59 e1 + 37 e2 - 9 e3) / 24
//! ```
//!
//! It starts with three Runge-Kutta steps of four evaluations each, or, with
//! `skip_prk_steps`, by formulas of lower order and one evaluation more at the second
//! time. A program step is one evaluation.

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::scheduler_config::SchedulerConfig;
use super::super::timesteps::{timesteps, Spacing, Steps};
use super::super::{Error, Prediction};
use super::denoise::Limits;
use super::solve::{copy, mix, sum};
use super::{Context, Sampler, Setup};

/// Multistep formulas by the number of values, newest first.
const PLMS: [&[f64]; 4] = [
    &[1.0],
    &[1.5, -0.5],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

/// The program of PNDM.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let config = context.config;
    if config.prediction_type == Prediction::Sample {
        let need = "pndm takes epsilon and v_prediction; choose another sampler";
        return Err(Error::config("prediction_type", "sample", need));
    }
    let Steps::Count(count) = context.steps else {
        return Err(Error::option("timesteps", "a list", "pndm spreads its own; give --steps"));
    };
    let spacing = config.solver.timestep_spacing.unwrap_or(Spacing::Leading);
    let own = SchedulerConfig { timestep_spacing: spacing, ..config.clone() };
    let times = timesteps(&own, &context.steps)?;
    let train = config.num_train_timesteps;
    let mut s = Setup::with_times(context, sampler, times.clone(), Limits::NONE)?;
    let e: Vec<Reg> = (0..4).map(|j| s.program.register(&format!("e{j}"), context.shape)).collect();
    let start = s.program.register("start", context.shape);
    let stride = (train / count) as i64;
    let out = s.model.out();
    let mut plms = times.iter().map(|t| *t as i64).collect::<Vec<_>>();
    let mut known = 0;
    if config.solver.skip_prk_steps {
        if count >= 2 {
            plms.insert(1, plms[1]);
        }
    } else {
        if count < 4 {
            return Err(Error::option(
                "steps",
                count,
                "pndm with Runge-Kutta steps needs 4; set skip_prk_steps",
            ));
        }
        let mean = s.program.register("mean", context.shape);
        let half = stride / 2;
        for group in times[..4].windows(2) {
            let (t, next) = (group[0] as i64, group[1] as i64);
            // Where it is evaluated, where it goes, and its part of the mean.
            let stages = [
                (t, t - half, 1.0 / 6.0),
                (next + half, next + half, 1.0 / 3.0),
                (next + half, next, 1.0 / 3.0),
                (next, next, 1.0 / 6.0),
            ];
            for (stage, (at, to, part)) in stages.into_iter().enumerate() {
                let mut list = s.observe(at)?;
                match stage {
                    0 => {
                        list.extend((1..=known.min(3)).rev().map(|j| copy(e[j], e[j - 1])));
                        list.extend([
                            copy(e[0], out),
                            copy(start, s.x),
                            mix(mean, vec![Term::new(part, out)]),
                        ]);
                    }
                    _ => list.push(mix(mean, vec![Term::new(1.0, mean), Term::new(part, out)])),
                }
                let eps = if stage == 3 { mean } else { out };
                list.extend(sum(s.x, &s.transfer(t, to, start, &[Term::new(1.0, eps)])?));
                s.push(at as usize, list);
            }
            known += 1;
        }
        plms.drain(..3);
    }
    for (counter, t) in plms.into_iter().enumerate() {
        let again = config.solver.skip_prk_steps && counter == 1;
        let mut list = s.observe(t)?;
        let terms = match again {
            true => {
                let eps = [Term::new(0.5, out), Term::new(0.5, e[0])];
                s.transfer(t + stride, t, start, &eps)?
            }
            false => {
                list.extend((1..=known.min(3)).rev().map(|j| copy(e[j], e[j - 1])));
                list.push(copy(e[0], out));
                known += 1;
                let formula = PLMS[known.min(4) - 1];
                let eps: Vec<Term> = formula.iter().zip(&e).map(|(c, e)| Term::new(*c, *e)).collect();
                s.transfer(t, t - stride, s.x, &eps)?
            }
        };
        if known == 1 && !again {
            list.push(copy(start, s.x));
        }
        list.extend(sum(s.x, &terms));
        s.push(t as usize, list);
    }
    Ok(s.program)
}

impl Setup {
    /// Evaluates at the state and shows the image.
    fn observe(&self, t: i64) -> Result<Vec<Instruction>, Error> {
        let t = t.max(0) as usize;
        let mut list = self.model.instructions(self.x, t as f64);
        list.extend(self.denoise.instructions(self.views(t)?, self.x, self.model.out()));
        Ok(list)
    }

    /// DDIM's step from `state` at t to s, with the combination `eps` of outputs.
    fn transfer(&self, t: i64, s: i64, state: Reg, eps: &[Term]) -> Result<Vec<Term>, Error> {
        let last = self.schedule.num_train_timesteps() - 1;
        let a = self.alpha_bar((t.max(0) as usize).min(last));
        let b = self.alpha_bar_prev(t.max(0) as usize, usize::try_from(s).ok(), self.beyond)?;
        if a <= 0.0 {
            // alpha_bar_prev has refused b = 0 already.
            return self.alpha_bar_prev(t as usize, Some(t as usize), 1.0).map(|_| Vec::new());
        }
        let factor = -(b - a) / (a * (1.0 - b).max(0.0).sqrt() + (a * (1.0 - a) * b).sqrt());
        let views = self.views((t.max(0) as usize).min(last))?;
        let mut terms = vec![Term::new((b / a).sqrt() + factor * views.eps.x, state)];
        for term in eps {
            if let super::super::program::Coef::Const(c) = term.coef {
                terms.push(Term::new(factor * views.eps.out * c, term.src));
            }
        }
        Ok(terms)
    }
}
