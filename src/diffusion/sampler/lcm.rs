//! Multistep sampling of latent consistency models (Luo et al. 2023,
//! arXiv:2310.04378, algorithm 3; diffusers' `LCMScheduler`).
//!
//! The network jumps to the image, which gets noise of the next level:
//!
//! ```text
//! f   = c_skip(t) x + c_out(t) x0
//! x_s = sqrt(alpha_bar_s) f + sqrt(1 - alpha_bar_s) z      (the last step gives f)
//! c_skip = d^2 / (u^2 + d^2),  c_out = u / sqrt(u^2 + d^2),  u = timestep_scaling t,  d = 1/2
//! ```
//!
//! The times are some of `original_inference_steps` ones, spread over all.

use super::super::program::{Instruction, Program, Term};
use super::super::timesteps::{strides_by_list, timesteps, Steps, Stride};
use super::super::Error;
use super::denoise::Limits;
use super::solve::mix;
use super::{Context, Sampler, Setup};

const DATA: f64 = 0.5;

/// The program of latent consistency sampling.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let limits = Limits { clip: Some(false), threshold: true };
    let mut s = Setup::with_times(context, sampler, times(context)?, limits)?;
    let z = s.program.register("z", context.shape);
    let (x, x0) = (s.x, s.denoise.x0);
    for (k, Stride { t, prev }) in strides_by_list(&s.times).into_iter().enumerate() {
        let views = s.views(t)?;
        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, s.model.out()));
        let u = context.config.solver.timestep_scaling * t as f64;
        let (skip, out) = (DATA * DATA / (u * u + DATA * DATA), u / u.hypot(DATA));
        match prev {
            None => list.push(mix(x, vec![Term::new(skip, x), Term::new(out, x0)])),
            Some(_) => {
                let alpha_bar = s.alpha_bar_prev(t, prev, 1.0)?;
                let image = alpha_bar.sqrt();
                list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
                let terms = vec![
                    Term::new(image * skip, x),
                    Term::new(image * out, x0),
                    Term::new((1.0 - alpha_bar).max(0.0).sqrt(), z),
                ];
                list.push(mix(x, terms));
            }
        }
        s.push(t, list);
    }
    Ok(s.program)
}

/// Equally many of the original times apart, from the last.
fn times(context: &Context<'_>) -> Result<Vec<usize>, Error> {
    let config = context.config;
    let count = match context.steps {
        Steps::Count(count) => count,
        _ => return timesteps(config, &context.steps),
    };
    let (train, original) = (config.num_train_timesteps, config.solver.original_inference_steps);
    if original == 0 || original > train {
        let need = format!("it must be 1 to num_train_timesteps ({train})");
        return Err(Error::config("original_inference_steps", original, need));
    }
    if count == 0 || count > original {
        let need = format!("choose 1 to {original} (original_inference_steps)");
        return Err(Error::option("steps", count, need));
    }
    let all: Vec<usize> = (1..=original).rev().map(|i| i * (train / original) - 1).collect();
    // numpy's linspace without its end: a multiple of the fractional step.
    let step = original as f64 / count as f64;
    Ok((0..count).map(|i| all[((i as f64 * step).floor() as usize).min(original - 1)]).collect())
}
