//! DPM-Solver with adaptive steps (Lu et al. 2022, arXiv:2206.00927, appendix C,
//! algorithm 3): DPM-Solver-12 and -23, pairs of orders 1 and 2 or 2 and 3 that share
//! their evaluations. In `lambda = log(alpha / sigma)`, with `phi1 = e^h - 1`,
//! `phi2 = phi1 / h - 1` and `D(a, b) = eps_b - eps_a`:
//!
//! ```text
//! x_1 = alpha_1 / alpha x - sigma_1 phi1(r1 h) eps                               at lambda + r1 h
//! x_2 = alpha_2 / alpha x - sigma_2 (phi1(r2 h) eps + r2 / r1 phi2(r2 h) D(0, 1)) at lambda + r2 h
//! order 1:  x' = alpha' / alpha x - sigma' phi1 eps
//! order 2:  x' = alpha' / alpha x - sigma' (phi1 eps + 1 / (2 r1) phi1 D(0, 1))
//! order 3:  x' = alpha' / alpha x - sigma' (phi1 eps + 1 / r2 phi2 D(0, 2))
//! ```
//!
//! r1 is 1/2 of the pair 12; r1 = 1/3 and r2 = 2/3 of the pair 23. The difference of both
//! orders, relative to `max(atol, rtol max(|x_low|, |x_prev|))`, is the error E; a step is
//! accepted where `E <= 1`, and the next one is `0.9 h E^(-1/order)`. The first is 0.05.
//! With `--error-control batch` E is that of the whole batch as one vector (the paper's
//! code takes the greatest of its images).

use super::super::program::{table, Binary, Unary};
use super::super::program::{Coef, Expr, Instruction, Program, Reg, Slot, SlotInit, Table, Term};
use super::super::Error;
use super::adaptive::{Control, MOST};
use super::equation::{label, Equation, Units};
use super::solve::{copy, mix, sum};
use super::view::Model;
use super::{Context, Sampler};

/// rtol and atol of the paper's code (atol is one grey level of images in [-1, 1]).
pub const TOLERANCES: (f64, f64) = (0.05, 0.0078);

/// The program of the pair.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let order = if sampler == Sampler::DpmAdaptive12 { 2 } else { 3 };
    let mut m = Model::new(context, sampler)?;
    let view = m.view.clone();
    // Time is lambda, rising: what is left of it.
    let lambda = |t: f64| 0.5 * view.process.log_snr(t);
    let units = Units::new(lambda(view.end), lambda(view.start), false);
    let length = units.all * units.unit;
    let t = |left: f64| match left {
        0.0 => view.end,
        left if left >= units.all => view.start,
        left => view.process.time_of_log_snr(2.0 * (lambda(view.end) - left * units.unit)),
    };
    let mut knots: Vec<f64> =
        view.knots().iter().map(|t| ((lambda(view.end) - lambda(*t)) / units.unit).round()).collect();
    knots.dedup();
    let p = &mut m.program;
    let mut add = |name: &str, knots: &[f64], f: &dyn Fn(f64) -> f64| -> Result<usize, Error> {
        p.tables.push(Table::of(name, knots, table::BOUND, f)?);
        Ok(p.tables.len() - 1)
    };
    let told = add("told", &knots, &|left| view.told(t(left)))?;
    let alpha = add("alpha", &knots, &|left| view.process.mean(t(left)))?;
    let sigma = add("sigma", &knots, &|left| view.process.std(t(left)))?;
    // phi1(h) / h and phi2(h) / h.
    let phi = [
        add("phi1 / h", &[0.0, length], &|h| if h < 1e-3 { series(h, 1.0) } else { h.exp_m1() / h })?,
        add("phi2 / h", &[0.0, length], &|h| match h < 0.05 {
            true => series(h, 2.0) / 2.0,
            false => (h.exp_m1() / h - 1.0) / h,
        })?,
    ];
    let tolerances = context.options.tolerances(TOLERANCES.0, TOLERANCES.1)?;
    let c = Control::new(p, units, tolerances, context.options.error_control).greater();
    let mut s = Solver { c, told, alpha, sigma, phi, eps: Vec::new(), slots: [c.now; 8] };
    s.slots = ["alpha", "sigma", "time", "of x", "of eps", "of D", "alpha'", "sigma'"]
        .map(|name| p.slot(name, SlotInit::Unset));
    s.eps = (0..order).map(|i| m.register(&format!("eps{i}"))).collect();
    let (x, y, low, e, prev) =
        (m.x, m.register("y"), m.register("low"), m.register("e"), m.register("x_prev"));

    let mut list = c.start();
    list.push(Instruction::Scalar { slot: c.size, expr: (0.05 / units.unit).into() });
    m.push(label(view.start), list);
    if let Some(first) = m.program.steps.last_mut() {
        first.instructions.push(copy(prev, x));
    }

    let r: &[f64] = if order == 2 { &[0.5] } else { &[1.0 / 3.0, 2.0 / 3.0] };
    let d = |weight: f64, i: usize| (weight, i);
    let mut body = c.step();
    body.extend(s.evaluate(&m, x, 0.0, 0));
    body.extend(s.state(x, y, r[0], None));
    body.extend(s.evaluate(&m, y, r[0], 1));
    if order == 2 {
        body.extend(s.state(x, low, 1.0, None));
        body.extend(s.state(x, y, 1.0, Some((0, d(1.0, 1)))));
    } else {
        body.extend(s.state(x, y, r[1], Some((1, d(r[1] / r[0], 1)))));
        body.extend(s.evaluate(&m, y, r[1], 2));
        body.extend(s.state(x, low, 1.0, Some((0, d(0.5 / r[0], 1)))));
        body.extend(s.state(x, y, 1.0, Some((1, d(1.0 / r[1], 2)))));
    }
    body.push(mix(e, vec![Term::new(1.0, y), Term::new(-1.0, low)]));
    body.extend(c.error(&m.program, c.err, [&[e], &[low], &[prev]]));
    let err = Expr::Slot(c.err).binary(Binary::Max, 1e-12.into());
    let factor = (err.unary(Unary::Log) * (-1.0 / order as f64)).unary(Unary::Exp) * 0.9;
    let good = Expr::Slot(c.err).binary(Binary::LessEqual, 1.0.into());
    body.extend(c.decide(good, factor.clone(), factor));
    body.push(Instruction::Select { dst: x, cond: c.accept, a: y, b: x });
    body.push(Instruction::Select { dst: prev, cond: c.accept, a: low, b: prev });
    body.extend(c.advance());
    m.push("adaptive steps".into(), vec![Instruction::Loop { body, until: c.done, at_most: MOST }]);
    m.push_last()?;
    Ok(m.program)
}

/// `n! (e^h - 1 - ... ) / h^n`, by its series.
fn series(h: f64, n: f64) -> f64 {
    (1..12).rev().fold(1.0, |sum, k| 1.0 + sum * h / (n + f64::from(k)))
}

/// What a pass is made of.
struct Solver {
    c: Control,
    told: usize,
    alpha: usize,
    sigma: usize,
    phi: [usize; 2],
    eps: Vec<Reg>,
    slots: [Slot; 8],
}

impl Solver {
    /// The noise that the network sees in `x`, a fraction of the step ahead.
    fn evaluate(&self, m: &Model, x: Reg, fraction: f64, into: usize) -> Vec<Instruction> {
        let [alpha, sigma, time, of_x, of_out, ..] = self.slots;
        let look = |slot, table| Instruction::Scalar { slot, expr: Expr::Slot(self.c.now).table(table) };
        let mut list = self.c.within_step(fraction);
        list.extend([look(time, self.told), look(alpha, self.alpha), look(sigma, self.sigma)]);
        list.extend(m.noise_at(x, time, [alpha, sigma, of_x, of_out], self.eps[into]));
        list
    }

    /// The state a fraction of the step ahead: with a difference, its phi and weight.
    fn state(&self, x: Reg, into: Reg, fraction: f64, d: Option<(usize, (f64, usize))>) -> Vec<Instruction> {
        let [_, _, _, of_x, of_eps, of_d, alpha, sigma] = self.slots;
        let set = |slot, expr| Instruction::Scalar { slot, expr };
        let (now, left) = (Expr::Slot(self.c.now), Expr::Slot(self.c.left));
        let h = Expr::Slot(self.c.h) * -fraction;
        let phi = |i: usize| h.clone() * h.clone().table(self.phi[i]) * -1.0 * sigma;
        let mut list = self.c.within_step(fraction);
        list.extend([
            set(alpha, now.clone().table(self.alpha)),
            set(sigma, now.table(self.sigma)),
            set(of_x, Expr::Slot(alpha) / left.table(self.alpha)),
            set(of_eps, phi(0)),
        ]);
        let term = |slot, src| Term { coef: Coef::Slot(slot), src };
        let mut terms = vec![term(of_x, x)];
        if let Some((i, (weight, to))) = d {
            list.push(set(of_d, phi(i) * weight));
            list.push(set(of_eps, Expr::Slot(of_eps) - of_d));
            terms.push(term(of_d, self.eps[to]));
        }
        terms.push(term(of_eps, self.eps[0]));
        list.extend(sum(into, &terms));
        list
    }
}
