//! The flags that say where a sampler's steps lie, for `sample` and `explain`.

use crate::like::Like;
use undiffuse::diffusion::Spread;
use undiffuse::pipeline::Sample;

#[derive(clap::Args, Clone)]
pub struct GridArgs {
    /// Steps [default: the sampler's: 50 for ddim, 20 for dpmpp_2m, all for ddpm]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// How steps are spread: linspace, leading, trailing, quadratic, karras, exponential, log_snr,
    /// beta [default: as the model's file says]
    #[arg(long, value_name = "NAME")]
    grid: Option<Spread>,
    /// The timesteps of training to visit, descending, in place of a number of steps
    #[arg(long, value_name = "T,T,...", value_delimiter = ',')]
    timesteps: Option<Vec<usize>>,
    /// The noise levels sqrt((1 - alpha_bar) / alpha_bar) to visit, descending, of which the last
    /// is where the last step leads (0: the image), in place of a number of steps
    #[arg(long, value_name = "S,S,...", value_delimiter = ',', allow_negative_numbers = true)]
    sigmas: Option<Vec<f64>>,
}

impl GridArgs {
    /// The options with these flags; those that are not given stay as they are, as far as
    /// they make sense beside those that are.
    pub fn apply(&self, options: Sample) -> Sample {
        if self.steps.is_none() && self.grid.is_none() && self.timesteps.is_none() && self.sigmas.is_none() {
            return options;
        }
        let listed = self.timesteps.is_some() || self.sigmas.is_some();
        Sample {
            steps: if listed { self.steps } else { self.steps.or(options.steps) },
            grid: if listed { self.grid } else { self.grid.or(options.grid) },
            timesteps: self.timesteps.clone(),
            sigmas: self.sigmas.clone(),
            ..options
        }
    }

    /// [`GridArgs::apply`] that notes what is not as a file records.
    pub fn instead(&self, like: &mut Like, made: Sample) -> Sample {
        let text = |o: &Sample| match (&o.timesteps, &o.sigmas, o.grid, o.steps) {
            (Some(times), ..) => format!("timesteps {times:?}"),
            (_, Some(sigmas), ..) => format!("sigmas {sigmas:?}"),
            (_, _, grid, steps) => {
                let steps = steps.map_or("default".to_string(), |s| s.to_string());
                format!("{steps}{}", grid.map_or(String::new(), |g| format!(" of grid {}", g.name())))
            }
        };
        let (was, now) = (text(&made), self.apply(made.clone()));
        like.instead("steps", Some(text(&now)), was, String::clone);
        now
    }
}
