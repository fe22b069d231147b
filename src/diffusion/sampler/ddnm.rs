//! DDNM, restoration by the null space (Wang, Yu & Zhang 2022, arXiv:2212.00490, algorithm 1).
//!
//! A picture `y = A x` is restored by drawing what `A` cannot see and keeping what it can: after
//! every prediction of the image,
//!
//! ```text
//! x0^ = x0 + A^+ (y - A x0)
//! x_s = sqrt(alpha_bar_s) x0^ + sqrt(1 - alpha_bar_s) (sqrt(1 - eta^2) eps + eta z)
//! ```
//!
//! `A x0^ = y` for every measurement that `A` can make, and the last step leads to `x0^` itself.
//! eta is 0.85, as in the authors' code; 0 is deterministic beside the first noise.

use super::super::program::{Instruction, Program, Term};
use super::super::timesteps::Stride;
use super::super::Error;
use super::{Context, Sampler, Setup};

/// The authors' eta.
const ETA: f64 = 0.85;

/// The program of DDNM.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let task = context.task(sampler)?;
    task.noiseless(sampler)?;
    let eta = context.eta.unwrap_or(ETA);
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::option("eta", eta, "choose 0 (no fresh noise) to 1 (all of it fresh)"));
    }
    let mut s = Setup::new(context, sampler, false)?;
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());
    let (a, inverse) = (task.degradation.operator(), task.degradation.pseudo_inverse());
    let p = &mut s.program;
    let y = p.input("y", a.to());
    let (seen, rest) = (p.register("A x0", a.to()), p.register("A+ rest", context.shape));
    let (a, inverse) = (p.operator("A", a), p.operator("A+", inverse));
    let z = (eta > 0.0).then(|| p.register("z", context.shape));
    let mix = |dst, terms| Instruction::Mix { dst, terms, clamp: None };
    for (k, Stride { t, prev }) in s.strides(context).into_iter().enumerate() {
        let views = s.views(t)?;
        // Whatever the file says of its end: only at the image itself is `A x = y`.
        let alpha_bar = s.alpha_bar_prev(t, prev, 1.0)?;
        let noise = (1.0 - alpha_bar).max(0.0).sqrt();
        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, out));
        list.extend([
            Instruction::Apply { dst: seen, operator: a, src: x0 },
            mix(seen, vec![Term::new(-1.0, seen), Term::new(1.0, y)]),
            Instruction::Apply { dst: rest, operator: inverse, src: seen },
            mix(x0, vec![Term::new(1.0, x0), Term::new(1.0, rest)]),
        ]);
        let mut terms = vec![Term::new(alpha_bar.sqrt(), x0)];
        if noise > 0.0 {
            terms.extend(s.denoise.eps_terms(views, noise * (1.0 - eta * eta).max(0.0).sqrt(), x, out));
            if let Some(z) = z {
                list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
                terms.push(Term::new(noise * eta, z));
            }
        }
        list.push(mix(x, terms));
        s.push(t, list);
    }
    Ok(s.program)
}
