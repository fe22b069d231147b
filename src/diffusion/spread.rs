//! Spreads of steps by name, in place of the one in the model's file.

use std::str::FromStr;

use super::solver_config::Sigmas;
use super::timesteps::{Spacing, Steps};
use super::{Error, SchedulerConfig};

/// How steps are spread over noise levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spread {
    /// Timesteps in equal steps, both ends included ([`Spacing::Linspace`]).
    Linspace,
    /// [`Spacing::Leading`].
    Leading,
    /// [`Spacing::Trailing`].
    Trailing,
    /// Timesteps by squares from 0 to 0.8 T (Song et al. 2020, arXiv:2010.02502,
    /// appendix D.2), where that would repeat some, the next ones.
    Quadratic,
    /// [`Sigmas::Karras`].
    Karras,
    /// [`Sigmas::Exponential`].
    Exponential,
    /// [`Sigmas::Lu`].
    LogSnr,
    /// [`Sigmas::Beta`].
    Beta,
}

impl Spread {
    /// Every spread.
    pub const ALL: [Spread; 8] = [
        Self::Linspace,
        Self::Leading,
        Self::Trailing,
        Self::Quadratic,
        Self::Karras,
        Self::Exponential,
        Self::LogSnr,
        Self::Beta,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linspace => "linspace",
            Self::Leading => "leading",
            Self::Trailing => "trailing",
            Self::Quadratic => "quadratic",
            Self::Karras => "karras",
            Self::Exponential => "exponential",
            Self::LogSnr => "log_snr",
            Self::Beta => "beta",
        }
    }

    /// Whether it spreads noise levels, which samplers that go by whole timesteps cannot follow.
    pub const fn is_levels(self) -> bool {
        matches!(self, Self::Karras | Self::Exponential | Self::LogSnr | Self::Beta)
    }

    /// The configuration and steps that spread `count` steps so.
    ///
    /// # Errors
    /// More steps than timesteps.
    pub fn apply(self, config: &SchedulerConfig, count: usize) -> Result<(SchedulerConfig, Steps), Error> {
        let mut config = config.clone();
        let spacing = match self {
            Self::Linspace => Spacing::Linspace,
            Self::Leading => Spacing::Leading,
            Self::Trailing => Spacing::Trailing,
            Self::Quadratic => {
                return Ok((config.clone(), Steps::At(quadratic(config.num_train_timesteps, count)?)))
            }
            _ => {
                config.solver.edm_exponential = self == Self::Exponential;
                config.solver.sigmas = match self {
                    Self::Karras => Sigmas::Karras,
                    Self::LogSnr => Sigmas::Lu,
                    Self::Beta => Sigmas::Beta,
                    _ => Sigmas::Exponential,
                };
                return Ok((config, Steps::Count(count)));
            }
        };
        config.timestep_spacing = spacing;
        config.solver.timestep_spacing = Some(spacing);
        config.solver.sigmas = Sigmas::Times;
        Ok((config, Steps::Count(count)))
    }
}

/// Descending.
fn quadratic(train: usize, count: usize) -> Result<Vec<usize>, Error> {
    if count == 0 || count > train {
        let need = format!("choose 1 to {train}, the number of timesteps the model was trained with");
        return Err(Error::option("steps", count, need));
    }
    let last = (0.8 * train as f64).sqrt();
    let at = |k: usize| (last * k as f64 / (count - 1).max(1) as f64).powi(2) as usize;
    let mut times: Vec<usize> = Vec::with_capacity(count);
    for k in 0..count {
        let least = times.last().map_or(0, |t| t + 1);
        // What follows must find room below the end.
        times.push(at(k).max(least).min(train - count + k));
    }
    times.reverse();
    Ok(times)
}

impl FromStr for Spread {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::option("grid", name, format!("choose one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quadratic_is_ddims_and_never_repeats() {
        // int(linspace(0, sqrt(800), 10) ** 2) of DDIM's own code.
        let want = [0, 9, 39, 88, 158, 246, 355, 483, 632, 800];
        let mut got = quadratic(1000, 10).unwrap();
        got.reverse();
        for (g, w) in got.iter().zip(want) {
            assert!(g.abs_diff(w) <= 1, "{got:?}");
        }
        for (train, count) in [(1000, 1), (1000, 200), (1000, 1000), (7, 7), (2, 1), (1, 1)] {
            let times = quadratic(train, count).unwrap();
            assert_eq!(times.len(), count);
            assert!(times.windows(2).all(|p| p[0] > p[1]) && times[0] < train, "{times:?}");
        }
        assert!(quadratic(5, 6).is_err() && quadratic(5, 0).is_err());
    }

    #[test]
    fn names_come_back() {
        for spread in Spread::ALL {
            assert_eq!(spread.name().parse::<Spread>().unwrap(), spread);
            assert!(spread.apply(&SchedulerConfig::default(), 10).is_ok());
        }
        assert!("karas".parse::<Spread>().unwrap_err().to_string().contains("karras"));
    }
}
