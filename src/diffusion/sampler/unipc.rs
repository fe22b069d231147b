//! UniPC (Zhao et al. 2023, arXiv:2302.04867, algorithms 5 to 8): a predictor and,
//! at no further evaluation, a corrector, both of any order.
//!
//! With `hh = -h` (image; `h` for noise), `B = hh` (bh1) or `e^hh - 1` (bh2),
//! `r_i = (lambda_{k-i} - lambda_k) / h`, `D_i = (m_{k-i} - m_k) / r_i`:
//!
//! ```text
//! x_t = sigma_t / sigma_s x - alpha_t (e^hh - 1) m_k - alpha_t B sum_i rho_i D_i
//! ```
//!
//! where rho solves `sum_i rho_i r_i^(n-1) = n! phi_{n+1}(hh) / B`. The predictor has
//! the older values alone; the corrector has, with r = 1, the new one too, and gives
//! the same step once more from the state before it. As in the reference, rho is 1/2
//! for the predictor of order 2 and the corrector of order 1.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Program, Reg, Term};
use super::super::solver_config::SolverType;
use super::super::Error;
use super::denoise::Limits;
use super::solve::{copy, sum, Level, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Whole, last: Last::Spread, round: true, bounds: true };
const MOST: usize = 6;

/// The program of UniPC.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let solver = &context.config.solver;
    let most = solver.solver_order.unwrap_or(2);
    if !(1..=MOST).contains(&most) {
        return Err(Error::config("solver_order", most, format!("it must be 1 to {MOST}")));
    }
    if solver.solver_p {
        let need = "another solver as predictor is not supported; leave it out";
        return Err(Error::config("solver_p", "given", need));
    }
    let (data, bh1) = (solver.predict_x0, solver.solver_type == Some(SolverType::Bh1));
    let limits = if data { Limits::THRESHOLD } else { Limits::NONE };
    let mut s = Solve::new(context, sampler, Space::Vp, RULES, limits)?;
    let steps = s.len();
    let lower = solver.lower_order_final.unwrap_or(true);
    if s.grid.sigmas[steps] == 0.0 && !(data && (lower || most == 1)) {
        let need = "a step to sigma = 0 needs predict_x0 and lower_order_final; choose sigma_min";
        return Err(Error::config("final_sigmas_type", "zero", need));
    }
    let m = s.history(data, most + 1);
    let last = s.register("last");
    let x = s.x;
    let mut order = 1;
    for k in 0..steps {
        let mut list = Solve::shift(&m, k);
        list.extend(s.predict(k));
        list.extend(s.remember(&m, k, data));
        if k > 0 && !solver.disable_corrector.contains(&(k - 1)) {
            let lambdas: Vec<f64> = (0..order).map(|i| s.level(k - 1 - i).lambda).collect();
            let rule = Rule { from: s.level(k - 1), to: s.level(k), lambdas: &lambdas, data, bh1 };
            list.extend(sum(x, &rule.terms(last, &m[1..], Some(m[0]))));
        }
        order = if lower { most.min(steps - k) } else { most }.min(k + 1);
        list.push(copy(last, x));
        let lambdas: Vec<f64> = (0..order).map(|i| s.level(k - i).lambda).collect();
        let rule = Rule { from: s.level(k), to: s.level(k + 1), lambdas: &lambdas, data, bh1 };
        list.extend(sum(x, &rule.terms(last, &m, None)));
        s.push(s.grid.times[k], list);
    }
    Ok(s.program)
}

/// One update, of the order that there are lambdas.
struct Rule<'a> {
    from: Level,
    to: Level,
    lambdas: &'a [f64],
    data: bool,
    bh1: bool,
}

impl Rule<'_> {
    /// The terms in the state `x`, the values `m` (newest first) and the corrector's `new`.
    fn terms(&self, x: Reg, m: &[Reg], new: Option<Reg>) -> Vec<Term> {
        let order = self.lambdas.len();
        let h = self.to.lambda - self.from.lambda;
        let hh = if self.data { -h } else { h };
        let e = hh.exp_m1();
        let b = if self.bh1 { hh } else { e };
        let (state, scale) = match self.data {
            true => (self.to.sigma / self.from.sigma, self.to.alpha),
            false => (self.to.alpha / self.from.alpha, self.to.sigma),
        };
        let mut ratios: Vec<f64> = self.lambdas[1..].iter().map(|l| (l - self.lambdas[0]) / h).collect();
        let rhos = match (new.is_some(), order) {
            (true, 1) | (false, 2) => vec![0.5],
            (false, 1) => vec![],
            (false, _) => solve(&ratios, &targets(hh, e, b, order - 1)),
            (true, _) => {
                let all: Vec<f64> = ratios.iter().copied().chain([1.0]).collect();
                solve(&all, &targets(hh, e, b, order))
            }
        };
        ratios.extend(new.map(|_| 1.0));
        let mut newest = -scale * e;
        let mut terms = vec![Term::new(state, x)];
        for (i, (rho, r)) in rhos.iter().zip(&ratios).enumerate() {
            let c = -scale * b * rho / r;
            newest -= c;
            let src = new.filter(|_| i + 1 == order).unwrap_or_else(|| m[i + 1]);
            terms.push(Term::new(c, src));
        }
        terms.insert(1, Term::new(newest, m[0]));
        terms
    }
}

/// `n! phi_{n+1}(hh) / B` for n from 1.
fn targets(hh: f64, e: f64, b: f64, count: usize) -> Vec<f64> {
    let mut phi = e / hh - 1.0;
    let mut factorial = 1.0;
    (1..=count)
        .map(|n| {
            let target = phi * factorial / b;
            factorial *= (n + 1) as f64;
            phi = phi / hh - 1.0 / factorial;
            target
        })
        .collect()
}

/// `sum_i rho_i r_i^(n-1) = b_n` by elimination with pivots. The ratios differ, so
/// there is one solution.
fn solve(ratios: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut a: Vec<Vec<f64>> =
        (0..n).map(|row| ratios.iter().map(|r| r.powi(row as i32)).chain([b[row]]).collect()).collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|i, j| a[*i][column].abs().total_cmp(&a[*j][column].abs()));
        a.swap(column, pivot.unwrap_or(column));
        for row in (0..n).filter(|row| *row != column) {
            let factor = a[row][column] / a[column][column];
            let above = a[column].clone();
            a[row].iter_mut().zip(&above).for_each(|(v, above)| *v -= factor * above);
        }
    }
    (0..n).map(|i| a[i][n] / a[i][i]).collect()
}
