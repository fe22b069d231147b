//! A model in continuous time: its process, what its network predicts, and what the
//! network is told of time.
//!
//! A model that was trained in continuous time (score_sde's VP, sub-VP and VE, Song
//! et al. 2021, arXiv:2011.13456) brings all of it
//! ([`continuous`](SchedulerConfig::continuous)).
//! A discrete chain is seen as a continuous process by interpolation of its log-SNR
//! ([`Process::VpDiscrete`]); its time is the index of the training timestep.

use super::grid::edm_range;
use super::prediction::Linear;
use super::process::{Interpolated, Process, Quantity};
use super::program::{Expr, Slot, Unary};
use super::schedule::linspace;
use super::{Error, Prediction, Schedule, SchedulerConfig};

/// alpha_bar where a schedule of zero terminal SNR ends (as in diffusers' solvers), if it
/// has not fallen as far before.
const LEAST_ALPHA_BAR: f64 = 1.0 / (1u64 << 24) as f64;

/// What a network's time input is told at a time of the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// `scale t`: 1 of a discrete chain, 999 of score_sde's VP and sub-VP.
    Scaled(f64),
    /// The noise's factor `s(t)`: score_sde's VE.
    Std,
    /// `log(s(t)) / 4`: EDM.
    QuarterLogStd,
    /// `round((1 - t) scale)`: score_sde's VE in discrete time, whose levels fall.
    Falling(f64),
}

/// A model in continuous time.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuous {
    /// The process.
    pub process: Process,
    /// What the network predicts.
    pub quantity: Quantity,
    /// What it is told of time.
    pub clock: Clock,
    /// Where the solution begins: the noise.
    pub start: f64,
    /// Where it ends, near the image (`eps` in score_sde).
    pub end: f64,
    /// Noise levels that the process is cut into where a sampler needs a last step of
    /// the discrete chain (`num_scales`).
    pub scales: usize,
    /// The ratio of noise to score of Langevin correctors (`snr`).
    pub snr: f64,
    /// Corrections per step (`n_steps_each`).
    pub corrector_steps: usize,
    /// For a network that was trained on a discrete chain of score_sde (`continuous:
    /// False`): the noise's factor at each level, which takes the place of `s(t)`
    /// where the network's output is read.
    pub stds: Option<Vec<f64>>,
}

/// A level of a sampler's grid: the process there, and the step of the discrete chain
/// `x_k = keep x_{k-1} + added z` that leads to it from the level below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Time.
    pub t: f64,
    /// What an Euler step adds to it, negative.
    pub dt: f64,
    /// `sqrt(1 - beta_k)`; 1 of VE.
    pub keep: f64,
    /// `sqrt(beta_k)`; `sqrt(sigma_k^2 - sigma_{k-1}^2)` of VE.
    pub added: f64,
    /// `sigma_k` of VE, `s(t)` of others.
    pub std: f64,
    /// The same of the level below; 0 beneath the lowest.
    pub below: f64,
}

impl Continuous {
    /// The model of a configuration: its own, or its discrete chain's.
    ///
    /// # Errors
    /// A chain whose alpha_bar does not fall, or reaches 0 or 1.
    pub fn of(config: &SchedulerConfig) -> Result<Self, Error> {
        if let Some(own) = &config.continuous {
            return Ok(own.clone());
        }
        if config.edm {
            return Self::edm(config);
        }
        let schedule = Schedule::new(config)?;
        let mut alpha_bar = schedule.alpha_bar().to_vec();
        if let (true, [.., before, last]) = (config.rescale_betas_zero_snr, &mut alpha_bar[..]) {
            *last = LEAST_ALPHA_BAR.min(*before / 16.0);
        }
        let quantity = match config.prediction_type {
            Prediction::Epsilon => Quantity::Eps,
            Prediction::Sample => Quantity::X0,
            Prediction::V => Quantity::V,
        };
        let process = Process::VpDiscrete(Interpolated::from_alpha_bar(&alpha_bar)?);
        let (end, start) = process.interval();
        let (scales, clock) = (alpha_bar.len(), Clock::Scaled(1.0));
        Ok(Self { process, quantity, clock, start, end, scales, snr: 0.16, corrector_steps: 1, stds: None })
    }

    /// A model in EDM's parametrisation, between its levels of noise.
    fn edm(config: &SchedulerConfig) -> Result<Self, Error> {
        if config.prediction_type != Prediction::Epsilon {
            let need = "in continuous time a model in EDM's parametrisation has epsilon";
            return Err(Error::config("prediction_type", config.prediction_type.name(), need));
        }
        let (end, start) = edm_range(config);
        Ok(Self {
            process: Process::Edm,
            quantity: Quantity::F(config.solver.sigma_data),
            clock: Clock::QuarterLogStd,
            start,
            end,
            scales: config.num_train_timesteps,
            snr: 0.16,
            corrector_steps: 1,
            stds: None,
        })
    }

    /// What the network is told at a time.
    pub fn told(&self, t: f64) -> f64 {
        match self.clock {
            Clock::Scaled(scale) => scale * t,
            Clock::Std => self.process.std(t),
            Clock::QuarterLogStd => 0.25 * self.process.std(t).ln(),
            // The reference's times are f32, where halves fall to the even side.
            Clock::Falling(scale) => f64::from(((1.0 - t as f32) * scale as f32).round_ties_even()),
        }
    }

    /// Whether a table is needed for what the network is told.
    pub(super) fn told_table(&self) -> bool {
        !matches!(self.clock, Clock::Scaled(_) | Clock::Falling(_))
    }

    /// What the network is told when `left` units of time are left until `end`; `table` is
    /// that of `s(t)`.
    pub(super) fn told_expr(&self, left: Slot, end: f64, unit: f64, table: Option<usize>) -> Expr {
        let left = Expr::Slot(left);
        match (self.clock, table) {
            (Clock::Scaled(scale), _) => left * (scale * unit) + scale * end,
            (Clock::Std, Some(table)) => left.table(table),
            (Clock::QuarterLogStd, Some(table)) => left.table(table).unary(Unary::Log) * 0.25,
            // Between its levels.
            (Clock::Falling(scale), _) => left * (-scale * unit) + scale * (1.0 - end),
            (Clock::Std | Clock::QuarterLogStd, None) => left,
        }
    }

    /// What the state is multiplied by for the network: 1 but in EDM's parametrisation.
    pub fn input_scale(&self, t: f64) -> f64 {
        match self.quantity {
            Quantity::F(data) => {
                let a = self.process.mean(t);
                1.0 / (a * (self.process.std(t) / a).hypot(data))
            }
            _ => 1.0,
        }
    }

    /// The lowest level of the discrete chain of score_sde's processes, whose mean step is
    /// the reference's last one; `None` of others.
    pub(super) fn last_level(&self) -> Result<Option<Level>, Error> {
        match self.process {
            Process::VpLinear { .. } | Process::SubVp { .. } | Process::Ve { .. } => {
                Ok(self.levels(self.scales)?.last().copied())
            }
            _ => Ok(None),
        }
    }

    /// The deviation of the state where the solution begins.
    pub fn prior(&self) -> f64 {
        match self.process {
            Process::Ve { .. } | Process::Edm => self.process.std(self.start),
            _ => 1.0,
        }
    }

    /// The noise's factor as the network knows it.
    fn std(&self, t: f64) -> f64 {
        match &self.stds {
            Some(stds) => {
                let last = stds.len().saturating_sub(1);
                stds.get(((t * last as f64) as usize).min(last)).copied().unwrap_or(f64::NAN)
            }
            None => self.process.std(t),
        }
    }

    /// The score `grad log p_t(x)`, in the state and the network's output.
    pub fn score(&self, t: f64) -> Linear {
        let (a, s) = (self.process.mean(t), self.std(t));
        match self.quantity {
            Quantity::Eps => Linear { x: 0.0, out: -1.0 / s },
            Quantity::X0 => Linear { x: -1.0 / (s * s), out: a / (s * s) },
            Quantity::V => {
                let r = a.hypot(s);
                Linear { x: -1.0 / (r * r), out: -a / (s * r) }
            }
            Quantity::Score => Linear { x: 0.0, out: 1.0 },
            Quantity::F(data) => {
                let (sigma, d2) = (s / a, data * data);
                let sum = sigma * sigma + d2;
                // -(x - a x0) / s^2, and 1 - c_skip = sigma^2 / sum.
                Linear { x: -1.0 / (a * a * sum), out: data / (a * s * sum.sqrt()) }
            }
        }
    }

    /// The image `x0`, in the state and the network's output (Tweedie: `x0 = (x + s^2
    /// score) / a`).
    pub fn image(&self, t: f64) -> Linear {
        let (a, s, score) = (self.process.mean(t), self.std(t), self.score(t));
        let x = match self.quantity {
            Quantity::Eps | Quantity::Score => 1.0 / a,
            Quantity::X0 => 0.0,
            Quantity::V => a / (a * a + s * s),
            Quantity::F(data) => data * data / (a * ((s / a).powi(2) + data * data)),
        };
        Linear { x, out: s * s * score.out / a }
    }

    /// The slope `dx/dt = f x - g^2 score / 2` of the probability flow, in the state and
    /// the network's output.
    pub fn flow(&self, t: f64) -> Linear {
        let half = 0.5 * self.process.diffusion(t).powi(2);
        let (f, score) = (self.process.drift(t), self.score(t));
        let x = f - half * score.x;
        // VP with v: only rounding is left of the sum.
        let x = if x.abs() < 1e-12 * f.abs() { 0.0 } else { x };
        Linear { x, out: -half * score.out }
    }

    /// Times between `end` and `start` at which the process is not smooth, both included,
    /// ascending.
    pub fn knots(&self) -> Vec<f64> {
        match self.process {
            Process::VpDiscrete(_) => {
                let whole = self.end.ceil() as usize..=self.start.floor() as usize;
                let all = whole.map(|t| t as f64).filter(|t| *t > self.end && *t < self.start);
                [self.end].into_iter().chain(all).chain([self.start]).collect()
            }
            _ => vec![self.end, self.start],
        }
    }

    /// The levels of `steps` steps, from the noise down.
    ///
    /// Of score_sde's processes they are the reference's: times are `linspace(1, eps,
    /// steps)` in f32, Euler steps are `1 / steps` long whatever the times' distance, and
    /// the discrete chain is that of `steps` levels, of which step `t` has number `floor(t
    /// (steps - 1))`. Of a discrete chain they are every `T / steps`-th level of its own
    /// (all of them where `steps = T`), down to the clean image. EDM's are spread as EDM spreads them.
    ///
    /// # Errors
    /// A number of steps for which the discrete chain does not exist.
    pub fn levels(&self, steps: usize) -> Result<Vec<Level>, Error> {
        if steps == 0 || steps > super::scheduler_config::MAX_TRAIN_TIMESTEPS {
            return Err(Error::option("steps", steps, "choose 1 to 100000"));
        }
        match self.process {
            Process::VpDiscrete(_) => {
                let most = self.start as usize + 1;
                if steps > most {
                    let need = format!("choose 1 to {most}, the timesteps that the model was trained with");
                    return Err(Error::option("steps", steps, need));
                }
                let dt = (self.start + 1.0) / steps as f64;
                let time = |k: usize| if k == steps { self.start } else { k as f64 * dt - 1.0 };
                Ok((1..=steps)
                    .rev()
                    .map(|k| self.level(time(k), (k > 1).then(|| time(k - 1)), -dt))
                    .collect())
            }
            Process::VpLinear { .. } | Process::SubVp { .. } | Process::Ve { .. } => {
                self.reference_levels(steps)
            }
            Process::VpCosine { .. } => {
                Ok(self.path(&linspace(self.start, self.end, steps + 1).collect::<Vec<_>>()))
            }
            // EDM's own spread (arXiv:2206.00364, eq. 5, rho = 7).
            Process::Edm => {
                let roots = linspace(self.start.powf(1.0 / 7.0), self.end.powf(1.0 / 7.0), steps + 1);
                Ok(self.path(&roots.map(|r| r.powi(7)).collect::<Vec<_>>()))
            }
        }
    }

    /// The levels of a list of times, of which the last is where the last step leads.
    fn path(&self, times: &[f64]) -> Vec<Level> {
        times.windows(2).map(|t| self.level(t[0], Some(t[1]), t[1] - t[0])).collect()
    }

    /// A level and the exact step of the process that leads to it from the one below, or
    /// from the image.
    fn level(&self, t: f64, below: Option<f64>, dt: f64) -> Level {
        let p = &self.process;
        let (keep, added) = p.transition(below, t);
        Level { t, dt, keep, added, std: p.std(t), below: below.map_or(0.0, |t| p.std(t)) }
    }

    fn reference_levels(&self, steps: usize) -> Result<Vec<Level>, Error> {
        let n = steps as f64;
        let dt = -1.0 / n;
        let list: Vec<f64> = match self.process {
            Process::Ve { sigma_min, sigma_max } => {
                linspace(sigma_min.ln(), sigma_max.ln(), steps).map(f64::exp).collect()
            }
            Process::VpLinear { beta_min, beta_max } => linspace(beta_min / n, beta_max / n, steps).collect(),
            _ => vec![0.0; steps],
        };
        if let (Process::VpLinear { beta_max, .. }, Some(beta)) = (&self.process, list.last()) {
            if *beta >= 1.0 {
                let need =
                    format!("choose more than {beta_max}: with fewer steps a step's beta is 1 or more");
                return Err(Error::option("steps", steps, need));
            }
        }
        let level = |t: f32| {
            let k = ((t * (steps - 1) as f32) as usize).min(steps - 1);
            let t = f64::from(t);
            let (value, lower) = (list[k], if k == 0 { 0.0 } else { list[k - 1] });
            match self.process {
                Process::Ve { .. } => {
                    let added = (value * value - lower * lower).sqrt();
                    Level { t, dt, keep: 1.0, added, std: value, below: lower }
                }
                Process::VpLinear { .. } => {
                    let std = self.process.std(t);
                    Level { t, dt, keep: (1.0 - value).sqrt(), added: value.sqrt(), std, below: 0.0 }
                }
                // Sub-VP has no chain in the reference: Euler's step of its process.
                _ => {
                    let added = self.process.diffusion(t) * (-dt).sqrt();
                    let keep = 1.0 - self.process.drift(t) * dt;
                    Level { t, dt, keep, added, std: self.process.std(t), below: 0.0 }
                }
            }
        };
        Ok(single_linspace(self.start as f32, self.end as f32, steps).into_iter().map(level).collect())
    }
}

/// torch's `linspace` in f32: from both ends to the middle.
fn single_linspace(start: f32, end: f32, count: usize) -> Vec<f32> {
    if count == 1 {
        return vec![start];
    }
    let step = (end - start) / (count - 1) as f32;
    (0..count)
        .map(|i| match i < count / 2 {
            true => start + step * i as f32,
            false => end - step * (count - 1 - i) as f32,
        })
        .collect()
}
