//! What the solvers of differential equations share: a grid of noise levels, the
//! state's scale, and the network's views at a level.
//!
//! Three scales of the state `x` hold one image: *VP* `x = alpha x0 + sigma' eps`
//! with `alpha = 1 / sqrt(sigma^2 + 1)` and `sigma' = sigma alpha`; *VE* `x = x0 +
//! sigma eps`, the network seeing `alpha x`; and EDM, VE with the network's output
//! and input scaled as Karras et al. (2022, arXiv:2206.00364, table 1) do.

use super::super::grid::{edm_range, table, time_of, Grid, Rules};
use super::super::guidance::Guided;
use super::super::prediction::{Linear, Views};
use super::super::program::{Instruction, Program, Reg, Step, Term, MAX_TERMS};
use super::super::timesteps::Spacing;
use super::super::{Error, Prediction, Schedule};
use super::denoise::{Denoise, Limits};
use super::{Begun, Context, Sampler};

/// The scale of the state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Space {
    Vp,
    Ve,
    /// With the deviation of the data.
    Edm(f64),
}

/// A noise level in VP's terms: `x = alpha x0 + sigma eps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) alpha: f64,
    pub(super) sigma: f64,
    /// `log(alpha / sigma)`.
    pub(super) lambda: f64,
}

/// A solver's program while it is written.
pub(super) struct Solve {
    pub(super) program: Program,
    pub(super) grid: Grid,
    pub(super) x: Reg,
    pub(super) x0: Reg,
    space: Space,
    table: Vec<f64>,
    input: Reg,
    init: f64,
    sampler: Sampler,
    model: Guided,
    denoise: Denoise,
}

impl Solve {
    pub(super) fn new(
        context: &Context<'_>,
        sampler: Sampler,
        space: Space,
        rules: Rules,
        limits: Limits,
    ) -> Result<Self, Error> {
        let config = context.config;
        let Begun { mut program, model, denoise } = Begun::new(context, sampler, false, limits)?;
        let (grid, table) = match space {
            Space::Edm(_) => (Grid::edm(config, &context.steps)?, Vec::new()),
            _ => {
                let schedule =
                    if context.single { Schedule::single(config)? } else { Schedule::new(config)? };
                (Grid::new(config, &schedule, &context.steps, rules)?, table(config, &schedule)?)
            }
        };
        let grid = match config.solver.continuous && rules.bounds && denoise.prediction() == Prediction::V {
            true => Grid {
                times: grid.sigmas.iter().zip(&grid.times).map(|(s, _)| 0.25 * s.ln()).collect(),
                ..grid
            },
            false => grid,
        };
        let most = grid.sigmas.iter().fold(0.0, |a: f64, s| a.max(*s));
        // As in diffusers: the level alone where the first time is the last one of
        // training, as it is with both spacings that reach it.
        let spacing = config.solver.timestep_spacing.unwrap_or(Spacing::Linspace);
        let init = match space {
            Space::Vp => 1.0,
            Space::Ve if spacing == Spacing::Leading => (most * most + 1.0).sqrt(),
            Space::Ve => most,
            Space::Edm(_) => edm_range(config).1.hypot(1.0),
        };
        let x = program.output;
        let input = match space {
            Space::Vp => x,
            _ => program.register("input", context.shape),
        };
        Ok(Self { x, x0: denoise.x0, program, grid, space, table, input, init, sampler, model, denoise })
    }

    /// The number of steps.
    pub(super) fn len(&self) -> usize {
        self.grid.times.len()
    }

    /// The time of a level between those of the grid.
    pub(super) fn time_of(&self, sigma: f64) -> f64 {
        time_of(&self.table, sigma)
    }

    /// The k-th level.
    pub(super) fn level(&self, k: usize) -> Level {
        let sigma = self.grid.sigmas[k];
        match self.space {
            Space::Vp => {
                let alpha = 1.0 / sigma.hypot(1.0);
                Level { alpha, sigma: sigma * alpha, lambda: -sigma.ln() }
            }
            _ => Level { alpha: 1.0, sigma, lambda: -sigma.ln() },
        }
    }

    /// x0 and eps from the state and the network's output, at the level `sigma` of
    /// the network's input and `state`, that of the state.
    pub(super) fn views(&self, sigma: f64, state: f64) -> Views {
        let s2 = sigma * sigma;
        let x0 = match (self.space, self.denoise.prediction()) {
            (Space::Edm(data), prediction) => {
                let sum = s2 + data * data;
                let sign = if prediction == Prediction::V { -1.0 } else { 1.0 };
                Linear { x: data * data / sum, out: sign * sigma * data / sum.sqrt() }
            }
            (_, Prediction::Sample) => Linear { x: 0.0, out: 1.0 },
            (Space::Ve, Prediction::Epsilon) => Linear { x: 1.0, out: -state },
            (Space::Ve, Prediction::V) => Linear { x: 1.0 / (s2 + 1.0), out: -sigma / (s2 + 1.0).sqrt() },
            (Space::Vp, Prediction::Epsilon) => Linear { x: sigma.hypot(1.0), out: -sigma },
            (Space::Vp, Prediction::V) => {
                let alpha = 1.0 / sigma.hypot(1.0);
                Linear { x: alpha, out: -sigma * alpha }
            }
        };
        let eps = match (self.space, self.denoise.prediction()) {
            (Space::Edm(_), _) | (_, Prediction::V | Prediction::Sample) => {
                let (alpha, noise) = match self.space {
                    Space::Vp => (1.0 / sigma.hypot(1.0), sigma / sigma.hypot(1.0)),
                    _ => (1.0, state),
                };
                Linear { x: (1.0 - alpha * x0.x) / noise, out: -alpha * x0.out / noise }
            }
            (_, Prediction::Epsilon) => Linear { x: 0.0, out: 1.0 },
        };
        Views { x0, eps }
    }

    /// The evaluation at the state, its level being `sigma` and its time `t`: writes
    /// the network's output.
    pub(super) fn evaluate(&self, sigma: f64, t: f64) -> Vec<Instruction> {
        let scale = match self.space {
            Space::Vp => None,
            Space::Ve => Some(1.0 / sigma.hypot(1.0)),
            Space::Edm(data) => Some(1.0 / sigma.hypot(data)),
        };
        let scaled = scale.map(|c| mix(self.input, vec![Term::new(c, self.x)]));
        scaled.into_iter().chain(self.model.instructions(self.input, t)).collect()
    }

    /// Writes `x0` from the state and the output.
    pub(super) fn denoised(&self, views: Views) -> Vec<Instruction> {
        self.denoise.instructions(views, self.x, self.model.out())
    }

    /// Evaluation and `x0` at the k-th level.
    pub(super) fn predict(&self, k: usize) -> Vec<Instruction> {
        let (sigma, t) = (self.grid.sigmas[k], self.grid.times[k]);
        let mut list = self.evaluate(sigma, t);
        list.extend(self.denoised(self.views(sigma, sigma)));
        list
    }

    /// The terms of eps at the k-th level: of the output, or of x0 where it is limited.
    pub(super) fn eps_terms(&self, k: usize) -> Vec<Term> {
        let sigma = self.grid.sigmas[k];
        match self.denoise.is_limited() {
            true => {
                let level = self.level(k);
                vec![Term::new(1.0 / level.sigma, self.x), Term::new(-level.alpha / level.sigma, self.x0)]
            }
            false => self.denoise.eps_terms(self.views(sigma, sigma), 1.0, self.x, self.model.out()),
        }
    }

    /// Refuses an x0 model, which the sampler's class does not take.
    pub(super) fn refuse_sample(&self) -> Result<(), Error> {
        match self.denoise.prediction() {
            Prediction::Sample => {
                let need =
                    format!("{} takes epsilon and v_prediction; choose another sampler", self.sampler.name());
                Err(Error::config("prediction_type", Prediction::Sample.name(), need))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn register(&mut self, name: &str) -> Reg {
        let shape = self.program.registers[self.x.0 as usize].shape;
        self.program.register(name, shape)
    }

    /// Appends a step at the time `t`; the first one begins with the initial noise.
    pub(super) fn push(&mut self, t: f64, mut instructions: Vec<Instruction>) {
        if self.program.steps.is_empty() {
            let mut start = vec![Instruction::Noise { dst: self.x, draw: 0 }];
            if self.init != 1.0 {
                start.push(mix(self.x, vec![Term::new(self.init, self.x)]));
            }
            instructions.splice(0..0, start);
        }
        let label = format!("t = {}", (t * 100.0).round() / 100.0);
        self.program.steps.push(Step { label, instructions });
    }
}

/// `dst` = the sum of the terms.
pub(super) fn mix(dst: Reg, terms: Vec<Term>) -> Instruction {
    Instruction::Mix { dst, terms, clamp: None }
}

/// `dst = src`.
pub(super) fn copy(dst: Reg, src: Reg) -> Instruction {
    mix(dst, vec![Term::new(1.0, src)])
}

/// The sum of any number of terms, `dst` being read by the first ones at most.
pub(super) fn sum(dst: Reg, terms: &[Term]) -> Vec<Instruction> {
    let own = terms.iter().filter(|t| t.src == dst).copied();
    let others: Vec<Term> = terms.iter().filter(|t| t.src != dst).copied().collect();
    let parts = others.chunks(MAX_TERMS).enumerate();
    let part = |(i, part): (usize, &[Term])| {
        let kept: Vec<Term> = if i == 0 { own.clone().collect() } else { vec![Term::new(1.0, dst)] };
        mix(dst, kept.into_iter().chain(part.iter().copied()).collect())
    };
    parts.map(part).collect()
}
