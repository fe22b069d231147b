//! Noise levels that solvers visit, and the time that the network is told at each.
//!
//! A level is `sigma = sqrt((1 - alpha_bar) / alpha_bar)`, the noise over the
//! image. Between the times of training, sigma is linear in time; the time of a
//! given sigma is found by interpolation of its logarithm (k-diffusion, and
//! diffusers after it). Roundings are those of diffusers, as a network that is
//! told another time gives another image.

use super::schedule::linspace;
use super::solver_config::{FinalSigma, Sigmas};
use super::timesteps::{Spacing, Steps};
use super::{Error, Schedule, SchedulerConfig};

/// alpha_bar where a schedule of zero terminal SNR ends, for solvers that need a
/// finite sigma (as in diffusers).
const LEAST_ALPHA_BAR: f64 = 1.0 / (1u64 << 24) as f64;

/// Levels from the noise to the image: step k goes from `sigmas[k]` to `sigmas[k + 1]`
/// and the network is told `times[k]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The time of each step.
    pub times: Vec<f64>,
    /// The levels: at least one more than the times.
    pub sigmas: Vec<f64>,
}

/// How a family of solvers spreads its levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// k-diffusion: fractional times, of which `linspace` ends at t = 0.
    Fractional,
    /// DPM-Solver: whole times, one more than steps, of which the last is left out.
    Whole,
}

/// What differs between solvers of one family.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The family.
    pub family: Family,
    /// Where the last step leads.
    pub last: Last,
    /// Whether times of Karras levels are rounded to whole ones.
    pub round: bool,
    /// Whether `sigma_min` and `sigma_max` of the file bound the levels.
    pub bounds: bool,
}

/// Where the last step leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// To `final_sigmas_type`, `sigma_min` being that of training.
    Training,
    /// The same, `sigma_min` being the last level where levels are spread.
    Spread,
    /// To 0.
    Zero,
    /// To the least level of training, or (where levels are spread) to the last one.
    Never,
}

impl Grid {
    /// The levels of `steps`.
    ///
    /// # Errors
    /// Numbers of steps, timesteps or levels that the schedule has not, by name.
    pub fn new(
        config: &SchedulerConfig,
        schedule: &Schedule,
        steps: &Steps,
        rules: Rules,
    ) -> Result<Self, Error> {
        let solver = &config.solver;
        if solver.flow {
            return Err(Error::config(
                "use_flow_sigmas",
                "true",
                "flow matching is not supported; set it to false",
            ));
        }
        let table = table(config, schedule)?;
        let least = table[0];
        let spread = match steps {
            Steps::Count(_) => solver.sigmas,
            _ => Sigmas::Times,
        };
        if let Steps::Sigmas(sigmas) = steps {
            return Self::custom(sigmas, &table, rules);
        }
        let mut times = times(config, &table, steps, rules.family)?;
        let count = times.len();
        let mut sigmas: Vec<f64> = times.iter().map(|t| interpolate(&table, *t)).collect();
        if solver.log_linear && rules.bounds && rules.family == Family::Fractional {
            let (high, low) = (table[table.len() - 1].ln(), least.ln());
            sigmas = linspace(high, low, count + 1).map(f64::exp).collect();
        }
        if spread != Sigmas::Times {
            let (first, last) = match rules.family {
                Family::Fractional => (sigmas[0], sigmas[sigmas.len() - 1]),
                Family::Whole => (table[table.len() - 1], least),
            };
            let bound = |given: Option<f64>, own: f64| given.filter(|_| rules.bounds).unwrap_or(own);
            let (high, low) = (bound(solver.sigma_max, first), bound(solver.sigma_min, last));
            sigmas = spread_levels(spread, high, low, count)?;
            times = sigmas.iter().map(|s| time_of(&table, *s)).collect();
            let round = match spread {
                Sigmas::Karras | Sigmas::Lu => rules.round,
                _ => false,
            };
            if round {
                times.iter_mut().for_each(|t| *t = t.round_ties_even());
            }
            if rules.family == Family::Whole {
                times.iter_mut().for_each(|t| *t = t.trunc());
            }
        }
        let last = match (rules.last, solver.final_sigmas_type) {
            (Last::Zero, _) | (Last::Training | Last::Spread, FinalSigma::Zero) => 0.0,
            (Last::Spread | Last::Never, _) if spread != Sigmas::Times => sigmas[sigmas.len() - 1],
            _ => least,
        };
        sigmas.push(last);
        Ok(Self { times, sigmas })
    }

    /// The levels of Karras et al. (2022, arXiv:2206.00364, table 1): the network
    /// is told `log(sigma) / 4`.
    ///
    /// # Errors
    /// No steps, or levels out of order.
    pub fn edm(config: &SchedulerConfig, steps: &Steps) -> Result<Self, Error> {
        let solver = &config.solver;
        let (low, high) = edm_range(config);
        if low >= high {
            return Err(Error::config("sigma_min", low, format!("it must be less than sigma_max ({high})")));
        }
        let mut sigmas = match steps {
            Steps::Count(count @ 1..=super::scheduler_config::MAX_TRAIN_TIMESTEPS) => {
                match solver.edm_exponential {
                    true if *count == 1 => vec![low],
                    true => linspace(high.ln(), low.ln(), *count).map(f64::exp).collect(),
                    false => karras(high, low, *count, solver.rho),
                }
            }
            Steps::Count(count) => return Err(Error::option("steps", count, "choose 1 to 100000")),
            Steps::Sigmas(sigmas) => {
                check_descending(sigmas)?;
                let times = sigmas[..sigmas.len() - 1].iter().map(|s| 0.25 * s.ln()).collect();
                return Ok(Self { times, sigmas: sigmas.clone() });
            }
            Steps::At(_) => {
                let need = "this model's time is its noise level: give --steps or --sigmas";
                return Err(Error::option("timesteps", "a list", need));
            }
        };
        let times = sigmas.iter().map(|s| 0.25 * s.ln()).collect();
        sigmas.push(match solver.final_sigmas_type {
            FinalSigma::Zero => 0.0,
            FinalSigma::SigmaMin => sigmas[sigmas.len() - 1],
        });
        Ok(Self { times, sigmas })
    }

    fn custom(sigmas: &[f64], table: &[f64], rules: Rules) -> Result<Self, Error> {
        check_descending(sigmas)?;
        let whole = |t: f64| if rules.family == Family::Whole { t.round_ties_even() } else { t };
        let times = sigmas[..sigmas.len() - 1].iter().map(|s| whole(time_of(table, *s))).collect();
        Ok(Self { times, sigmas: sigmas.to_vec() })
    }
}

/// `sigma_min` and `sigma_max` of a model in EDM's parametrisation.
pub fn edm_range(config: &SchedulerConfig) -> (f64, f64) {
    (config.solver.sigma_min.unwrap_or(0.002), config.solver.sigma_max.unwrap_or(80.0))
}

/// sigma at every time of training, ascending.
pub(super) fn table(config: &SchedulerConfig, schedule: &Schedule) -> Result<Vec<f64>, Error> {
    let mut alpha_bar = schedule.alpha_bar().to_vec();
    if let (true, Some(last)) = (config.rescale_betas_zero_snr, alpha_bar.last_mut()) {
        *last = LEAST_ALPHA_BAR;
    }
    let table: Vec<f64> = alpha_bar.iter().map(|a| ((1.0 - a) / a).max(0.0).sqrt()).collect();
    match table.iter().position(|s| !(*s > 0.0 && s.is_finite())) {
        None => Ok(table),
        Some(t) => {
            let need = format!(
                "this sampler needs betas whose alpha_bar lies between 0 and 1 everywhere, but at t = {t} it is {}",
                alpha_bar[t]
            );
            Err(Error::config("beta_schedule", config.beta_schedule.name(), need))
        }
    }
}

/// The table at a time, linear between whole ones.
pub(super) fn interpolate(table: &[f64], t: f64) -> f64 {
    let t = t.clamp(0.0, (table.len() - 1) as f64);
    let low = (t.floor() as usize).min(table.len().saturating_sub(2));
    let w = t - low as f64;
    if w == 0.0 {
        table[low]
    } else {
        table[low] + w * (table[low + 1] - table[low])
    }
}

/// The time whose sigma has this logarithm; the ends' times beyond them.
pub(super) fn time_of(table: &[f64], sigma: f64) -> f64 {
    if table.len() < 2 {
        return 0.0;
    }
    let log = sigma.max(1e-10).ln();
    let below = table.partition_point(|s| s.ln() <= log);
    let low = below.saturating_sub(1).min(table.len() - 2);
    let (a, b) = (table[low].ln(), table[low + 1].ln());
    let w = if a == b { 0.0 } else { ((a - log) / (a - b)).clamp(0.0, 1.0) };
    low as f64 + w
}

/// The times of the steps, descending.
fn times(config: &SchedulerConfig, table: &[f64], steps: &Steps, family: Family) -> Result<Vec<f64>, Error> {
    let train = table.len();
    let count = match steps {
        Steps::Count(count) if (1..=train).contains(count) => *count,
        Steps::Count(count) => {
            let need = format!("choose 1 to {train}, the number of timesteps the model was trained with");
            return Err(Error::option("steps", count, need));
        }
        steps => return Ok(super::timesteps::timesteps(config, steps)?.iter().map(|t| *t as f64).collect()),
    };
    let spacing = config.solver.timestep_spacing.unwrap_or(Spacing::Linspace);
    // lambda = log(alpha / sigma) rises as time falls.
    let clipped = match family {
        Family::Whole => table.iter().filter(|s| -s.ln() < config.solver.lambda_min_clipped).count(),
        Family::Fractional => 0,
    };
    let beyond = train - clipped;
    let offset = config.steps_offset as f64;
    let whole = family == Family::Whole;
    let times: Vec<f64> = match spacing {
        Spacing::Linspace if whole => {
            let all = linspace(0.0, beyond as f64 - 1.0, count + 1).map(f64::round_ties_even);
            all.skip(1).collect::<Vec<_>>().into_iter().rev().collect()
        }
        Spacing::Linspace => {
            let all = linspace(0.0, train as f64 - 1.0, count).map(|t| f64::from(t as f32));
            all.collect::<Vec<_>>().into_iter().rev().collect()
        }
        Spacing::Leading if whole => {
            let ratio = beyond / (count + 1);
            (1..=count).rev().map(|i| (i * ratio) as f64 + offset).collect()
        }
        Spacing::Leading => (0..count).rev().map(|i| (i * (train / count)) as f64 + offset).collect(),
        Spacing::Trailing => {
            let (start, ratio) = (beyond as f64, train as f64 / count as f64);
            let increment = (start - ratio) - start;
            (0..count)
                .map(|i| start + i as f64 * increment)
                .take_while(|t| *t > 0.0)
                .map(|t| (t.round_ties_even() - 1.0).max(0.0))
                .collect()
        }
    };
    let falls = times.windows(2).all(|pair| pair[0] > pair[1]);
    match times.first() {
        Some(&first) if first < train as f64 && falls => Ok(times),
        Some(&first) if first >= train as f64 => Err(Error::option(
            "steps",
            count,
            format!(
                "with steps_offset {offset} the first timestep is {first}, beyond the last trained one ({}); \
                 ask for fewer steps",
                train - 1
            ),
        )),
        _ => Err(Error::option(
            "steps",
            count,
            format!("{train} timesteps spread as {} would repeat some; ask for fewer steps", spacing.name()),
        )),
    }
}

fn spread_levels(spread: Sigmas, high: f64, low: f64, count: usize) -> Result<Vec<f64>, Error> {
    if !(0.0 < low && low <= high && high.is_finite()) {
        let need = format!("it must be positive and at most sigma_max ({high})");
        return Err(Error::config("sigma_min", low, need));
    }
    Ok(match spread {
        Sigmas::Times => Vec::new(),
        Sigmas::Karras => karras(high, low, count, 7.0),
        Sigmas::Exponential | Sigmas::Lu => linspace(high.ln(), low.ln(), count).map(f64::exp).collect(),
        Sigmas::Beta => {
            let at = |u: f64| low + super::beta::quantile(1.0 - u, 0.6, 0.6) * (high - low);
            linspace(0.0, 1.0, count).map(at).collect()
        }
    })
}

fn karras(high: f64, low: f64, count: usize, rho: f64) -> Vec<f64> {
    let (high, low) = (high.powf(1.0 / rho), low.powf(1.0 / rho));
    linspace(0.0, 1.0, count).map(|u| (high + u * (low - high)).powf(rho)).collect()
}

fn check_descending(sigmas: &[f64]) -> Result<(), Error> {
    let falls = sigmas.windows(2).all(|pair| pair[0] > pair[1]);
    let fine = sigmas.iter().all(|s| s.is_finite() && *s >= 0.0);
    match sigmas.len() >= 2 && falls && fine {
        true => Ok(()),
        false => Err(Error::option(
            "sigmas",
            format!("{sigmas:?}"),
            "give at least two, strictly descending, finite and not negative; the last is where the last step leads",
        )),
    }
}
