//! Noise schedules: betas and alpha_bar in f64.
//!
//! The forward process is `q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t)`
//! and `alpha_bar_t = prod_{s <= t} (1 - beta_s)` (Ho et al. 2020,
//! arXiv:2006.11239, eq. 2 and 4). diffusers computes these in f32; here they
//! are f64 and agree with it to about 1e-6.

use super::{Error, SchedulerConfig};

/// A family of betas (`beta_schedule`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BetaSchedule {
    /// Betas from `beta_start` to `beta_end` in equal steps (DDPM).
    Linear,
    /// Square roots of betas in equal steps (latent diffusion).
    ScaledLinear,
    /// `alpha_bar(u) = cos^2(pi/2 (u + 0.008) / 1.008)`, betas capped at 0.999
    /// (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
    SquaredcosCapV2,
    /// A logistic curve over [-6, 6] between the two betas (GeoDiff).
    Sigmoid,
    /// alpha_bar from log signal to noise ratios of a Laplace distribution, betas
    /// capped at 0.999 (Hang et al. 2024, arXiv:2407.03297).
    Laplace,
}

impl BetaSchedule {
    /// Every family, in the order that errors list them.
    pub const ALL: [BetaSchedule; 5] =
        [Self::Linear, Self::ScaledLinear, Self::SquaredcosCapV2, Self::Sigmoid, Self::Laplace];

    /// The name in scheduler configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::ScaledLinear => "scaled_linear",
            Self::SquaredcosCapV2 => "squaredcos_cap_v2",
            Self::Sigmoid => "sigmoid",
            Self::Laplace => "laplace",
        }
    }

    /// The `count` betas between `start` and `end` (which the two families
    /// defined by alpha_bar ignore).
    pub fn betas(self, count: usize, start: f64, end: f64) -> Vec<f64> {
        match self {
            Self::Linear => linspace(start, end, count).collect(),
            Self::ScaledLinear => linspace(start.sqrt(), end.sqrt(), count).map(|b| b * b).collect(),
            Self::SquaredcosCapV2 => {
                from_alpha_bar(count, |u| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2))
            }
            Self::Sigmoid => {
                linspace(-6.0, 6.0, count).map(|x| (end - start) / (1.0 + (-x).exp()) + start).collect()
            }
            Self::Laplace => from_alpha_bar(count, |u| {
                let lambda = -0.5 * 1f64.copysign(0.5 - u) * (1.0 - 2.0 * (0.5 - u).abs() + 1e-6).ln();
                let snr = lambda.exp();
                (snr / (1.0 + snr)).sqrt()
            }),
        }
    }
}

/// `count` numbers from `start` to `end`, both included; one number is `start`.
pub(crate) fn linspace(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let last = count.saturating_sub(1);
    let step = if last == 0 { 0.0 } else { (end - start) / last as f64 };
    (0..count).map(move |i| if i == last && i > 0 { end } else { start + i as f64 * step })
}

/// Betas whose products follow `alpha_bar(u)`, u in [0, 1], capped at 0.999.
fn from_alpha_bar(count: usize, alpha_bar: impl Fn(f64) -> f64) -> Vec<f64> {
    let at = |i: usize| alpha_bar(i as f64 / count as f64);
    (0..count).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999)).collect()
}

/// Betas and alpha_bar of every training timestep.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    betas: Vec<f64>,
    alpha_bar: Vec<f64>,
}

impl Schedule {
    /// The schedule as diffusers holds it: betas and `1 - beta` rounded to f32,
    /// their product taken in f64 and rounded to f32. It differs from [`Schedule::new`]
    /// by 6e-8, which is much of `1 - alpha_bar` near t = 0: with this one, steps
    /// equal diffusers' there too.
    pub fn single(config: &SchedulerConfig) -> Result<Self, Error> {
        let exact = Self::new(config)?;
        let betas: Vec<f64> = exact.betas.iter().map(|b| f64::from(*b as f32)).collect();
        let mut product = 1.0;
        let alpha_bar = betas
            .iter()
            .map(|b| {
                product *= f64::from(1.0 - *b as f32);
                f64::from(product as f32)
            })
            .collect();
        Ok(Self { betas, alpha_bar })
    }

    /// The schedule of a configuration.
    pub fn new(config: &SchedulerConfig) -> Result<Self, Error> {
        config.check()?;
        let mut betas = match &config.trained_betas {
            Some(betas) => betas.clone(),
            None => {
                config.beta_schedule.betas(config.num_train_timesteps, config.beta_start, config.beta_end)
            }
        };
        if config.rescale_betas_zero_snr {
            betas = rescale_zero_snr(&betas)?;
        }
        if let Some((t, beta)) = betas.iter().enumerate().find(|(_, b)| !(0.0..=1.0).contains(*b)) {
            let name = config.beta_schedule.name();
            return Err(Error::config(
                "beta_schedule",
                name,
                format!("it gives beta = {beta} at t = {t}, and betas must lie in [0, 1]"),
            ));
        }
        let alpha_bar = cumulative(&betas);
        Ok(Self { betas, alpha_bar })
    }

    /// The number of training timesteps.
    pub fn num_train_timesteps(&self) -> usize {
        self.betas.len()
    }

    /// beta of every training timestep.
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// The noise over the image at a timestep, `sqrt((1 - alpha_bar) / alpha_bar)`; NaN beyond
    /// the last one.
    pub fn sigma(&self, t: usize) -> f64 {
        self.alpha_bar.get(t).map_or(f64::NAN, |a| ((1.0 - a) / a).sqrt())
    }

    /// alpha_bar of every training timestep; never increases.
    pub fn alpha_bar(&self) -> &[f64] {
        &self.alpha_bar
    }
}

fn cumulative(betas: &[f64]) -> Vec<f64> {
    let mut product = 1.0;
    betas
        .iter()
        .map(|beta| {
            product *= 1.0 - beta;
            product
        })
        .collect()
}

/// Shifts and scales `sqrt(alpha_bar)` so that its last value is 0 and its
/// first stays (Lin et al. 2023, arXiv:2305.08891, algorithm 1).
fn rescale_zero_snr(betas: &[f64]) -> Result<Vec<f64>, Error> {
    let root: Vec<f64> = cumulative(betas).into_iter().map(f64::sqrt).collect();
    let (first, last) = (root.first().copied().unwrap_or(0.0), root.last().copied().unwrap_or(0.0));
    if first <= last {
        let need = "this schedule has one level of noise only, which cannot be rescaled; set it to false";
        return Err(Error::config("rescale_betas_zero_snr", "true", need));
    }
    let scaled: Vec<f64> = root.iter().map(|r| ((r - last) * (first / (first - last))).powi(2)).collect();
    let mut previous = 1.0;
    let mut rescaled = Vec::with_capacity(betas.len());
    for (t, alpha_bar) in scaled.into_iter().enumerate() {
        if previous == 0.0 {
            let need =
                format!("the schedule has its last level of noise before t = {t} already; set it to false");
            return Err(Error::config("rescale_betas_zero_snr", "true", need));
        }
        rescaled.push(1.0 - alpha_bar / previous);
        previous = alpha_bar;
    }
    Ok(rescaled)
}
