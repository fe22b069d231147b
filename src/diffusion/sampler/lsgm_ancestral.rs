//! Ancestral sampling of a latent score-based model (Vahdat, Kreis & Kautz 2021,
//! arXiv:2106.05931), and the decoder.
//!
//! The discrete chain has `alpha_bar_k = 1 - var(k / T)`, k = T .. 1, whose steps are DDPM's (Ho
//! et al. 2020, algorithm 2):
//!
//! ```text
//! x_{k-1} = (x_k - beta_k eps / sqrt(1 - alpha_bar_k)) / sqrt(1 - beta_k) + sd_k z
//! x_0     = (x_1 - sqrt(1 - alpha_bar_1) eps) / sqrt(alpha_bar_1), kept within [-3, 3]
//! ```
//!
//! with `sd_k^2 = beta_k`, or the posterior's (`beta_post`).

use super::super::program::{Instruction, Program, Term};
use super::super::Error;
use super::latent::Latent;
use super::{Context, Sampler};

/// Latents end within this.
const BOUND: f64 = 3.0;

/// The program of ancestral sampling.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut p = Latent::new(context, sampler)?;
    let z = p.program.register("z", context.shape);
    let (x, n) = (p.x, p.steps as f64);
    let alpha_bar = |p: &Latent, k: usize| if k == 0 { 1.0 } else { 1.0 - p.variance(k as f64 / n) };
    for k in (1..=p.steps).rev() {
        let t = k as f64 / n;
        let (here, below) = (alpha_bar(&p, k), alpha_bar(&p, k - 1));
        let rest = (1.0 - here).sqrt();
        let mut list = vec![p.eval(x, t)];
        if k > 1 {
            let beta = 1.0 - here / below;
            let root = (1.0 - beta).sqrt();
            let variance = if p.of.posterior { beta * (1.0 - below) / (1.0 - here) } else { beta };
            list.push(Instruction::Noise { dst: z, draw: (p.steps - k + 1) as u32 });
            let mut terms = vec![Term::new(1.0 / root, x)];
            terms.extend(p.eps(-beta / rest / root, rest));
            terms.push(Term::new(variance.max(0.0).sqrt(), z));
            list.push(Instruction::Mix { dst: x, terms, clamp: None });
        } else {
            let mut terms = vec![Term::new(1.0 / here.sqrt(), x)];
            terms.extend(p.eps(-rest / here.sqrt(), rest));
            list.push(Instruction::Mix { dst: x, terms, clamp: Some((-BOUND, BOUND)) });
        }
        p.push(format!("t = {t:.5}"), list);
    }
    Ok(p.finish())
}
