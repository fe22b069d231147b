//! DPM-Solver and DPM-Solver++, single step (Lu et al. 2022, arXiv:2206.00927,
//! algorithms 1 and 2, and arXiv:2211.01095, algorithm 1; diffusers'
//! `DPMSolverSinglestepScheduler`).
//!
//! Steps go in groups of `solver_order`, over the levels of the grid: within a group
//! each step starts again from the group's first state, with one more value of the
//! model. From the level of the group's start, r, to t:
//!
//! ```text
//! D0 = m_r   D1 = (m_s - m_r) / r1   r1 = (lambda_s - lambda_r) / (lambda_t - lambda_r)
//! ```
//!
//! with the coefficients of [`super::dpm_multistep`]. The orders of the last steps
//! are as published (`lower_order_final`), which a number of steps that the order
//! does not divide and a step to sigma = 0 ask for. `dpm_singlestep` takes order and
//! equation from the model's file, `dpmpp_2s` brings its own.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Instruction, Program, Term};
use super::super::solver_config::{Algorithm, FinalSigma, SolverType};
use super::super::{Error, SchedulerConfig};
use super::denoise::Limits;
use super::exponential::Update;
use super::solve::{copy, mix, sum, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Whole, last: Last::Training, round: true, bounds: false };

/// The program of DPM-Solver, single step.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let solver = &context.config.solver;
    let (most, algorithm) = match sampler {
        Sampler::Dpmpp2s => (2, Algorithm::Data),
        _ => (solver.solver_order.unwrap_or(2), solver.algorithm_type.unwrap_or(Algorithm::Data)),
    };
    super::dpm_multistep::check(most, algorithm, solver.final_sigmas_type)?;
    if algorithm == Algorithm::NoiseSde {
        let need = "single-step solvers take dpmsolver, dpmsolver++ and sde-dpmsolver++";
        return Err(Error::config("algorithm_type", algorithm.name(), need));
    }
    // The class has no spacing and always goes by linspace.
    let mut config = SchedulerConfig { steps_offset: 0, ..context.config.clone() };
    config.solver.timestep_spacing = None;
    let context = Context { config: &config, ..context.clone() };
    let midpoint = solver.solver_type != Some(SolverType::Heun);
    let mut s = Solve::new(&context, sampler, Space::Vp, RULES, Limits::THRESHOLD)?;
    let to_zero = s.grid.sigmas[s.len()] == 0.0;
    let lower = solver.lower_order_final.unwrap_or(false) || to_zero || s.len() % most != 0;
    let orders = orders(s.len(), most, lower, to_zero || solver.final_sigmas_type == FinalSigma::Zero);
    let m = s.history(algorithm.is_data(), most);
    let start = s.register("start");
    let z = algorithm.is_sde().then(|| s.register("z"));
    let x = s.x;
    for (k, order) in orders.into_iter().enumerate() {
        let first = k + 1 - order;
        let update = Update::new(algorithm, s.level(first), s.level(k + 1));
        let r = |j: usize| (s.level(first + j).lambda - s.level(first).lambda) / update.h;
        // By step within the group, oldest first.
        let weights = match order {
            1 => vec![update.d[0]],
            2 => {
                let c = if midpoint { update.midpoint } else { update.d[1] } / r(1);
                vec![update.d[0] - c, c]
            }
            _ if midpoint => {
                let c = update.d[1] / r(2);
                vec![update.d[0] - c, 0.0, c]
            }
            _ => {
                // D1 and D2 of the parabola through the three values.
                let (r1, r0) = (r(1), r(2));
                let (d1, d2) = (update.d[1] / (r0 - r1), 2.0 * update.d[2] / (r0 - r1));
                let (c1, c2) = ((r0 * d1 - d2) / r1, (d2 - r1 * d1) / r0);
                vec![update.d[0] - c1 - c2, c1, c2]
            }
        };
        let mut list = Solve::shift(&m, order - 1);
        list.extend(s.predict(k));
        list.extend(s.remember(&m, k, algorithm.is_data()));
        if order == 1 {
            list.push(copy(start, x));
        }
        let mut terms = vec![Term::new(update.x, start)];
        terms.extend((0..order).map(|j| Term::new(weights[j], m[order - 1 - j])).filter(|t| !t.is_zero()));
        if let Some(z) = z.filter(|_| update.noise > 0.0) {
            list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
            terms.push(Term::new(update.noise, z));
        }
        match terms.len() {
            0..=4 => list.push(mix(x, terms)),
            _ => list.extend(sum(x, &terms)),
        }
        s.push(s.grid.times[k], list);
    }
    Ok(s.program)
}

/// The order of each step.
fn orders(steps: usize, most: usize, lower: bool, to_zero: bool) -> Vec<usize> {
    let groups = |count: usize| (0..count).flat_map(move |_| 1..=most);
    let mut orders: Vec<usize> = match (lower, most, steps % most.max(1)) {
        (true, 3, 0) => groups(steps / 3 - 1).chain([1, 2, 1]).collect(),
        (true, 3, 1) => groups(steps / 3).chain([1]).collect(),
        (true, 3, _) => groups(steps / 3).chain([1, 2]).collect(),
        (true, 2, 0) => groups(steps / 2 - 1).chain([1, 1]).collect(),
        (true, 2, _) => groups(steps / 2).chain([1]).collect(),
        _ => groups(steps / most).collect(),
    };
    if let (true, Some(last)) = (to_zero, orders.last_mut()) {
        *last = 1;
    }
    orders
}
