//! DDIM (Song, Meng & Ermon 2020, arXiv:2010.02502, eq. 12 and 16).
//!
//! From t to s = t - T/steps:
//!
//! ```text
//! x_s = sqrt(alpha_bar_s) x0 + sqrt(1 - alpha_bar_s - sigma^2) eps + sigma z
//! sigma = eta sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t) (1 - alpha_bar_t / alpha_bar_s))
//! ```
//!
//! eta = 0 is deterministic, eta = 1 is as stochastic as DDPM. As in diffusers,
//! x0 is clamped or thresholded, but eps is the one predicted before that, unless
//! `clipped_output` asks for the one that belongs to the clamped x0:
//! `eps = (x_t - sqrt(alpha_bar_t) x0) / sqrt(1 - alpha_bar_t)`.

use super::super::program::{Instruction, Program, Term};
use super::super::timesteps::Stride;
use super::super::Error;
use super::{Context, Sampler, Setup};

/// The program of DDIM.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let eta = context.eta.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::option("eta", eta, "choose 0 (deterministic) to 1 (as stochastic as DDPM)"));
    }
    let mut s = Setup::new(context, sampler, false)?;
    let z = (eta > 0.0).then(|| s.program.register("z", context.shape));
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());
    let beyond = if context.config.set_alpha_to_one { 1.0 } else { s.alpha_bar(0) };

    for (k, Stride { t, prev }) in s.strides(context).into_iter().enumerate() {
        let views = s.views(t)?;
        let (alpha_bar, alpha_bar_prev) = (s.alpha_bar(t), s.alpha_bar_prev(t, prev, beyond)?);
        let noise_prev = (1.0 - alpha_bar_prev).max(0.0);
        let sigma2 = eta * eta * noise_prev * renewed(alpha_bar, alpha_bar_prev);
        // sigma^2 <= 1 - alpha_bar_prev for eta <= 1; rounding may disagree.
        let direction = (noise_prev - sigma2).max(0.0).sqrt();

        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, out));
        let mut terms = vec![Term::new(alpha_bar_prev.sqrt(), x0)];
        match (1.0 - alpha_bar).sqrt() {
            noise if context.clipped_output && noise > 0.0 => {
                let factor = direction / noise;
                terms[0] = Term::new(alpha_bar_prev.sqrt() - factor * alpha_bar.sqrt(), x0);
                terms.push(Term::new(factor, x));
            }
            _ => terms.extend(s.denoise.eps_terms(views, direction, x, out)),
        }
        if let Some(z) = z.filter(|_| sigma2 > 0.0) {
            list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
            terms.push(Term::new(sigma2.sqrt(), z));
        }
        list.push(Instruction::Mix { dst: x, terms, clamp: None });
        s.push(t, list);
    }
    Ok(s.program)
}

/// `(1 - alpha_bar_t / alpha_bar_s) / (1 - alpha_bar_t)`, in [0, 1]: the part of
/// the noise that eta = 1 renews. 0 where no noise is left.
pub(super) fn renewed(alpha_bar: f64, alpha_bar_prev: f64) -> f64 {
    let noise = 1.0 - alpha_bar;
    match noise > 0.0 {
        true => ((1.0 - alpha_bar / alpha_bar_prev) / noise).clamp(0.0, 1.0),
        false => 0.0,
    }
}
