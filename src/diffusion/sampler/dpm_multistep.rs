//! DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, arXiv:2206.00927, and
//! arXiv:2211.01095, algorithm 2), with their SDE variants (ibid., appendix; the
//! third order as in k-diffusion and diffusers' `DPMSolverMultistepScheduler`).
//!
//! With `lambda = log(alpha / sigma)`, `h = lambda_t - lambda_s`, the flow is exact in
//! its linear part, and the predicted image m (or noise) is a polynomial in lambda
//! through the last steps:
//!
//! ```text
//! D0 = m0   D1 = (m0 - m1) / r0   r0 = (lambda_s - lambda_r) / h   (D2: order 3)
//! x_t = sigma_t / sigma_s x - alpha_t (e^-h - 1) D0 - alpha_t (e^-h - 1) / 2 D1    (midpoint)
//!     + alpha_t ((e^-h - 1) / h + 1) D1                                            (heun)
//!     - alpha_t ((e^-h - 1 + h) / h^2 - 1/2) D2                                    (order 3)
//! ```
//!
//! The first steps are of order 1 and 2, and so are the last ones of fewer than 15
//! (`lower_order_final`); a step to sigma = 0 is of order 1, which gives m0 itself.
//! `dpm_multistep` takes order and equation from the model's file; `dpmpp_2m`,
//! `dpmpp_3m` and `dpmpp_2m_sde` bring their own.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Instruction, Program, Reg, Term};
use super::super::schedule::BetaSchedule;
use super::super::solver_config::{Algorithm, FinalSigma, SolverType};
use super::super::Error;
use super::denoise::Limits;
use super::exponential::Update;
use super::solve::{copy, mix, sum, Solve, Space};
use super::{Context, Sampler};

/// The program of DPM-Solver, multistep.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    in_space(context, sampler, Space::Vp)
}

/// The same, for a model in EDM's parametrisation too.
pub(super) fn in_space(context: &Context<'_>, sampler: Sampler, space: Space) -> Result<Program, Error> {
    let solver = &context.config.solver;
    let (order, algorithm) = match sampler {
        Sampler::Dpmpp2m => (2, Algorithm::Data),
        Sampler::Dpmpp3m => (3, Algorithm::Data),
        Sampler::Dpmpp2mSde => (2, Algorithm::DataSde),
        _ => (solver.solver_order.unwrap_or(2), solver.algorithm_type.unwrap_or(Algorithm::Data)),
    };
    check(order, algorithm, solver.final_sigmas_type)?;
    if order == 3 && algorithm == Algorithm::NoiseSde {
        let need = "with algorithm_type sde-dpmsolver it must be 1 or 2";
        return Err(Error::config("solver_order", order, need));
    }
    let midpoint = solver.solver_type != Some(SolverType::Heun);
    let round = context.config.beta_schedule != BetaSchedule::SquaredcosCapV2;
    let rules = Rules { family: Family::Whole, last: Last::Training, round, bounds: false };
    let mut s = Solve::new(context, sampler, space, rules, Limits::THRESHOLD)?;
    let steps = s.len();
    let few = solver.lower_order_final.unwrap_or(true) && steps < 15;
    let m = s.history(algorithm.is_data(), order);
    let z = algorithm.is_sde().then(|| s.register("z"));
    let x = s.x;
    for k in 0..steps {
        let last = k + 1 == steps
            && (solver.euler_at_final || few || solver.final_sigmas_type == FinalSigma::Zero)
            || s.grid.sigmas[k + 1] == 0.0;
        let here = match k {
            _ if last => 1,
            _ if few && k + 2 == steps => order.min(2),
            _ => order,
        }
        .min(k + 1);
        let update = Update::new(algorithm, s.level(k), s.level(k + 1));
        let lambda = |j: usize| s.level(k - j).lambda;
        // D_i as combinations of m0, m1, m2.
        let weights = match here {
            1 => [update.d[0], 0.0, 0.0],
            2 => {
                let r = (lambda(0) - lambda(1)) / update.h;
                let c = if midpoint { update.midpoint } else { update.d[1] };
                [update.d[0] + c / r, -c / r, 0.0]
            }
            _ => {
                let (r0, r1) = ((lambda(0) - lambda(1)) / update.h, (lambda(1) - lambda(2)) / update.h);
                // D1 = (1 + w) D10 - w D11 and D2 = (D10 - D11) / (r0 + r1).
                let w = r0 / (r0 + r1);
                let d10 = (1.0 + w) * update.d[1] + update.d[2] / (r0 + r1);
                let d11 = -w * update.d[1] - update.d[2] / (r0 + r1);
                [update.d[0] + d10 / r0, -d10 / r0 + d11 / r1, -d11 / r1]
            }
        };
        let mut list = Solve::shift(&m, k);
        list.extend(s.predict(k));
        list.extend(s.remember(&m, k, algorithm.is_data()));
        let mut terms = vec![Term::new(update.x, x)];
        terms.extend((0..here).map(|j| Term::new(weights[j], m[j])));
        if let Some(z) = z.filter(|_| update.noise > 0.0) {
            list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
            terms.push(Term::new(update.noise, z));
        }
        list.extend(sum(x, &terms));
        s.push(s.grid.times[k], list);
    }
    Ok(s.program)
}

/// Refuses what DPM-Solver has not.
pub(super) fn check(order: usize, algorithm: Algorithm, last: FinalSigma) -> Result<(), Error> {
    if !(1..=3).contains(&order) {
        return Err(Error::config("solver_order", order, "it must be 1, 2 or 3"));
    }
    if !algorithm.is_data() && last == FinalSigma::Zero {
        let need = format!("with algorithm_type {} it must be sigma_min", algorithm.name());
        return Err(Error::config("final_sigmas_type", "zero", need));
    }
    Ok(())
}

impl Solve {
    /// Registers of the model's last values, the newest first: `x0` itself is the newest
    /// where images are integrated.
    pub(super) fn history(&mut self, data: bool, order: usize) -> Vec<Reg> {
        let first = if data { self.x0 } else { self.register("eps") };
        let older = (1..order).map(|j| self.register(&format!("m{j}"))).collect::<Vec<_>>();
        std::iter::once(first).chain(older).collect()
    }

    /// Instructions after [`Solve::predict`] that write the noise, where it is integrated.
    pub(super) fn remember(&self, m: &[Reg], k: usize, data: bool) -> Vec<Instruction> {
        if data {
            Vec::new()
        } else {
            vec![mix(m[0], self.eps_terms(k))]
        }
    }

    /// Instructions that move the history one step on, before the model is evaluated.
    pub(super) fn shift(m: &[Reg], known: usize) -> Vec<Instruction> {
        (1..m.len().min(known + 1)).rev().map(|j| copy(m[j], m[j - 1])).collect()
    }
}
