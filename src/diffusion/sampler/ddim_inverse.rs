//! DDIM run from the image to the noise (Song, Meng & Ermon 2020, arXiv:2010.02502,
//! section 5.4; diffusers' `DDIMInverseScheduler`).
//!
//! Times ascend. The state is at s = t - T/steps and the network is asked at t:
//!
//! ```text
//! x_t = sqrt(alpha_bar_t) x0 + sqrt(1 - alpha_bar_t) eps
//! ```
//!
//! with x0 and eps of the state at s. The image to start from takes the place of the
//! initial noise, draw 0.

use super::super::program::{Program, Term};
use super::super::timesteps::{timesteps, Spacing, Steps};
use super::super::{Error, SchedulerConfig};
use super::denoise::Limits;
use super::solve::mix;
use super::{Context, Sampler, Setup};

/// The program of DDIM's inversion.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let config = context.config;
    let Steps::Count(count) = context.steps else {
        return Err(Error::option("timesteps", "a list", "ddim_inverse spreads its own; give --steps"));
    };
    let spacing = config.solver.timestep_spacing.unwrap_or(Spacing::Leading);
    if spacing == Spacing::Linspace {
        let need = "ddim_inverse takes leading and trailing";
        return Err(Error::config("timestep_spacing", spacing.name(), need));
    }
    let own = SchedulerConfig { timestep_spacing: spacing, ..config.clone() };
    let mut times = timesteps(&own, &context.steps)?;
    times.reverse();
    let limits = Limits { clip: Some(true), threshold: false };
    let mut s = Setup::with_times(context, sampler, times.clone(), limits)?;
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());
    let stride = config.num_train_timesteps / count;
    for t in times {
        let from = match t.checked_sub(stride) {
            Some(from) => s.alpha_bar(from),
            None if config.set_alpha_to_one => 1.0,
            None => s.alpha_bar(0),
        };
        let views = config.prediction_type.views(from).ok_or_else(|| Error::Unsupported {
            sampler: sampler.name().into(),
            t,
            reason: "alpha_bar is 0 where the step begins; mend the betas".into(),
        })?;
        let to = s.alpha_bar(t);
        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, out));
        let mut terms = vec![Term::new(to.sqrt(), x0)];
        terms.extend(s.denoise.eps_terms(views, (1.0 - to).max(0.0).sqrt(), x, out));
        list.push(mix(x, terms));
        s.push(t, list);
    }
    Ok(s.program)
}
