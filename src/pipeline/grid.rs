//! Where a sampler's steps lie, of the options that say so.

use super::{PipelineError, Sample};
use crate::diffusion::timesteps::Steps;
use crate::diffusion::{SchedulerConfig, Spread};
use std::borrow::Cow;

impl Sample {
    /// How many steps these options mean on a model's schedule.
    pub fn step_count(&self, config: &SchedulerConfig) -> usize {
        let listed = self.timesteps.as_ref().map(Vec::len);
        let levels = self.sigmas.as_ref().map(|s| s.len().saturating_sub(1));
        let default = || self.sampler.default_steps(config.num_train_timesteps);
        listed.or(levels).or(self.steps).unwrap_or_else(default)
    }

    /// The noise schedule and the steps that these options mean.
    ///
    /// # Errors
    /// Options that contradict each other or that the sampler does not follow.
    pub fn steps_on<'a>(
        &self,
        config: &'a SchedulerConfig,
    ) -> Result<(Cow<'a, SchedulerConfig>, Steps), PipelineError> {
        let own = Cow::Borrowed(config);
        let several = |option, what: &str| Err(PipelineError::Option { option, what: what.into() });
        Ok(match (&self.timesteps, &self.sigmas, self.grid) {
            (Some(_), Some(_), _) => {
                return several("sigmas", "timesteps are given already: give one of them")
            }
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                return several("grid", "the steps are listed already: leave it out")
            }
            (Some(_), ..) | (_, Some(_), _) if self.steps.is_some() => {
                return several("steps", "the steps are listed already: leave their number out")
            }
            (Some(times), ..) => (own, Steps::At(times.clone())),
            (_, Some(sigmas), _) => (own, Steps::Sigmas(sigmas.clone())),
            (None, None, None) => (own, Steps::Count(self.step_count(config))),
            (None, None, Some(grid)) => {
                if !self.sampler.follows(grid) {
                    let can = Spread::ALL.into_iter().filter(|g| self.sampler.follows(*g)).map(Spread::name);
                    let (name, can) = (self.sampler.name(), can.collect::<Vec<_>>().join(", "));
                    let can = if can.is_empty() { "none: leave it out".into() } else { can };
                    let what = format!("{name} has no grid {}; it has {can}", grid.name());
                    return several("grid", &what);
                }
                let (config, steps) = grid.apply(config, self.step_count(config))?;
                (Cow::Owned(config), steps)
            }
        })
    }
}
