//! Which training timesteps a sampler visits.
//!
//! Roundings are those of numpy in diffusers (half to even), since a timestep
//! that is off by one is another image.

use super::{Error, SchedulerConfig};

/// How few timesteps are spread over many (`timestep_spacing`; Lin et al. 2023,
/// arXiv:2305.08891, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spacing {
    /// From the last to 0, both included. A single step is t = 0, as in numpy.
    Linspace,
    /// Multiples of `T / steps` (whole) plus `steps_offset`.
    Leading,
    /// The last timestep and every `T / steps` (fractional) below it.
    Trailing,
}

impl Spacing {
    /// Every spacing.
    pub const ALL: [Spacing; 3] = [Self::Linspace, Self::Leading, Self::Trailing];

    /// The name in scheduler configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linspace => "linspace",
            Self::Leading => "leading",
            Self::Trailing => "trailing",
        }
    }
}

/// The timesteps to visit.
#[derive(Clone, Debug, PartialEq)]
pub enum Steps {
    /// So many, spread as the configuration says.
    Count(usize),
    /// These, strictly descending.
    At(Vec<usize>),
    /// Those of these noise levels `sqrt((1 - alpha_bar) / alpha_bar)`, strictly
    /// descending; the last one is where the last step leads.
    Sigmas(Vec<f64>),
}

impl Steps {
    /// The number, where no more than that is said.
    pub fn count(&self) -> Option<usize> {
        match self {
            Steps::Count(count) => Some(*count),
            Steps::At(_) | Steps::Sigmas(_) => None,
        }
    }
}

impl From<usize> for Steps {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

/// The timesteps to visit, strictly descending.
pub fn timesteps(config: &SchedulerConfig, steps: &Steps) -> Result<Vec<usize>, Error> {
    config.check()?;
    let train = config.num_train_timesteps;
    let times = match steps {
        Steps::Count(count) => spread(config, *count)?,
        Steps::At(times) => times.clone(),
        Steps::Sigmas(sigmas) => {
            let need =
                "this sampler goes by timesteps; give those, or choose a sampler like euler or dpmpp_2m";
            return Err(Error::option("sigmas", format!("{} levels", sigmas.len()), need));
        }
    };
    let bad_order = times.windows(2).any(|pair| pair[0] <= pair[1]);
    match times.first() {
        Some(&first) if first < train && !bad_order => Ok(times),
        Some(&first) if first >= train && matches!(steps, Steps::Count(_)) => Err(Error::option(
            "steps",
            times.len(),
            format!(
                "with steps_offset {} the first timestep is {first}, beyond the last trained one ({}); ask for fewer steps",
                config.steps_offset,
                train - 1
            ),
        )),
        _ => Err(Error::option(
            "timesteps",
            format!("{times:?}"),
            format!("give at least one, strictly descending, each below {train}"),
        )),
    }
}

fn spread(config: &SchedulerConfig, count: usize) -> Result<Vec<usize>, Error> {
    let train = config.num_train_timesteps;
    if count == 0 || count > train {
        let need = format!("choose 1 to {train}, the number of timesteps the model was trained with");
        return Err(Error::option("steps", count, need));
    }
    Ok(match config.timestep_spacing {
        Spacing::Linspace => {
            let step = if count > 1 { (train - 1) as f64 / (count - 1) as f64 } else { 0.0 };
            let at = |i: usize| if i > 0 && i == count - 1 { (train - 1) as f64 } else { i as f64 * step };
            (0..count).rev().map(|i| at(i).round_ties_even() as usize).collect()
        }
        Spacing::Leading => {
            let ratio = train / count;
            (0..count).rev().map(|i| i * ratio + config.steps_offset).collect()
        }
        Spacing::Trailing => {
            // numpy's arange: the second value fixes the increment of all others.
            let start = train as f64;
            let increment = (start - start / count as f64) - start;
            // An arange of floats may come out one longer, at t = -1: never here.
            (0..count)
                .map(|i| (start + i as f64 * increment).round_ties_even() as usize)
                .map(|t| t.saturating_sub(1))
                .collect()
        }
    })
}

/// A timestep and the one that the step leads to (`None`: the image itself).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    /// Where the network is evaluated.
    pub t: usize,
    /// Where the state goes.
    pub prev: Option<usize>,
}

/// Strides to the next timestep of the list: DDPM in diffusers.
pub fn strides_by_list(times: &[usize]) -> Vec<Stride> {
    let next = times.iter().skip(1).copied().map(Some).chain([None]);
    times.iter().zip(next).map(|(&t, prev)| Stride { t, prev }).collect()
}

/// Strides of `T / steps` (whole) each: DDIM in diffusers.
///
/// With `linspace`, or where steps do not divide T, `prev` is *not* the next
/// timestep of the list: a state is then read at another level of noise than
/// it has. Published images were made so.
pub fn strides_by_ratio(times: &[usize], train: usize) -> Vec<Stride> {
    let ratio = train / times.len().max(1);
    times.iter().map(|&t| Stride { t, prev: t.checked_sub(ratio) }).collect()
}
