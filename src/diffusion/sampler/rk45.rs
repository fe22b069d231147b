//! The adaptive Runge-Kutta pair of Dormand & Prince (1980), order 5 with an estimate of
//! order 4, on the probability flow (Song et al. 2021, arXiv:2011.13456, section 4.3),
//! with the rules of SciPy's `RK45` (Hairer, Norsett & Wanner, Solving Ordinary
//! Differential Equations I, II.4): the first step of algorithm II.4.14; with the error
//!
//! ```text
//! err = rms(h sum e_i k_i / (atol + rtol max(|x|, |x_new|)))
//! ```
//!
//! a step is accepted where `err < 1`, and the next one is `h` times
//! `0.9 err^(-1/5)`, at least 0.2 and at most 10 (at most 1 after a rejected step).
//! The last slope of a step is the first of the next. The device decides all of it,
//! each image by itself unless `--error-control batch`; then the last step to the image.

use super::super::program::{Binary, Coef, Expr, Instruction, Program, Reg, Unary};
use super::super::system::System;
use super::super::Error;
use super::adaptive::{Control, MOST};
use super::equation::{combine, label, times, At, Equation, Units};
use super::options::ErrorControl;
use super::view::Model;
use super::{cld_ode, lsgm_ode, Context, Sampler};

/// rtol and atol of score_sde.
pub const TOLERANCES: (f64, f64) = (1e-5, 1e-5);

/// Where the slopes are taken.
const C: [f64; 7] = [0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0];
/// The states of the slopes; the last row is the new state.
const A: [&[f64]; 7] = [
    &[],
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];
/// The difference of both orders.
const E: [f64; 7] =
    [-71.0 / 57600.0, 0.0, 71.0 / 16695.0, -71.0 / 1920.0, 17253.0 / 339200.0, -22.0 / 525.0, 1.0 / 40.0];

/// The program of the pair.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    match context.config.system {
        Some(System::Cld(_)) => return cld_ode::adaptive(context, sampler),
        Some(System::Lsgm(_)) => return lsgm_ode::adaptive(context, sampler),
        _ => {}
    }
    let mut m = Model::new(context, sampler)?;
    let tolerances = context.options.tolerances(TOLERANCES.0, TOLERANCES.1)?;
    integrate(&mut m, tolerances, context.options.error_control)?;
    Ok(m.program)
}

/// Writes the pair for any equation.
pub(super) fn integrate(
    m: &mut impl Equation,
    tolerances: (f64, f64),
    control: ErrorControl,
) -> Result<(), Error> {
    let (start, end) = m.interval();
    let units = Units::new(start, end, m.whole());
    m.tabulate(units)?;
    let c = Control::new(m.program(), units, tolerances, control);
    let (x, y, e) = (m.state(), m.like("y"), m.like("e"));
    let k: Vec<Vec<Reg>> = (1..=7).map(|i| m.like(&format!("k{i}"))).collect();

    let mut list = c.start();
    list.extend(first_step(m, &c, units, [&y, &e, &k[0], &k[1]]));
    m.push(label(start), list);

    let weighted = |row: &[f64]| -> Vec<(Coef, &[Reg])> {
        let all = row.iter().zip(&k).filter(|(weight, _)| **weight != 0.0);
        all.map(|(weight, k)| (Coef::SlotTimes(c.h, *weight), k.as_slice())).collect()
    };
    let mut body = c.step();
    for (i, row) in A.iter().enumerate().skip(1) {
        body.extend(combine(&y, &[vec![(times(1.0), x.as_slice())], weighted(row)].concat()));
        body.extend(c.within_step(C[i]));
        body.extend(m.slope(At::Left(c.now), &y, &k[i]));
    }
    body.extend(combine(&e, &weighted(&E)));
    body.extend(c.error(m.program(), c.err, [&e, &x, &y]));
    // 0.9 err^(-1/5), where there is an error at all.
    let power = (Expr::Slot(c.err).unary(Unary::Log) * -0.2).unary(Unary::Exp) * 0.9;
    let least = power.clone().binary(Binary::Max, 0.2.into());
    let most = Expr::Slot(c.rejected_last).select(1.0.into(), 10.0.into());
    let grown = Expr::Slot(c.err).select(power.binary(Binary::Min, most.clone()), most);
    body.extend(c.decide(Expr::Slot(c.err).binary(Binary::Less, 1.0.into()), grown, least));
    for i in 0..x.len() {
        body.push(Instruction::Select { dst: x[i], cond: c.accept, a: y[i], b: x[i] });
        body.push(Instruction::Select { dst: k[0][i], cond: c.accept, a: k[6][i], b: k[0][i] });
    }
    body.extend(c.advance());
    m.push("adaptive steps".into(), vec![Instruction::Loop { body, until: c.done, at_most: MOST }]);
    m.push_last()
}

/// The first slope into `k1`, and the length of the first step (Hairer, Norsett & Wanner
/// I, algorithm II.4.14), in units.
fn first_step(
    m: &mut impl Equation,
    c: &Control,
    units: Units,
    [y, e, k1, k2]: [&[Reg]; 4],
) -> Vec<Instruction> {
    let x = m.state();
    let [d0, d1, d2] = c.norms;
    let scalar = |slot, expr| Instruction::Scalar { slot, expr };
    let slot = Expr::Slot;
    let less = |a: Expr, b: f64| a.binary(Binary::Less, b.into());
    let mut list = m.slope(At::Left(c.left), &x, k1);
    list.extend(c.error(m.program(), d0, [&x, &x, &x]));
    list.extend(c.error(m.program(), d1, [k1, &x, &x]));
    let either = less(slot(d0), 1e-5).binary(Binary::Max, less(slot(d1), 1e-5));
    // In time, then in whole units, of which there is at least one.
    let unit = units.unit.abs();
    let h0 = either.select(1e-6.into(), slot(d0) / d1 * 0.01) / unit;
    list.push(scalar(c.size, h0));
    list.extend(c.step());
    list.extend(combine(y, &[(times(1.0), &x), (Coef::Slot(c.h), k1)]));
    list.extend(c.within_step(1.0));
    list.extend(m.slope(At::Left(c.now), y, k2));
    list.extend(combine(e, &[(times(1.0), k2), (times(-1.0), k1)]));
    list.extend(c.error(m.program(), d2, [e, &x, &x]));
    let h0 = || slot(c.step) * unit;
    list.push(scalar(d2, slot(d2) / h0()));
    let steepest = slot(d1).binary(Binary::Max, slot(d2));
    let flat = less(steepest.clone(), 1e-15);
    let steep = ((Expr::Const(0.01) / steepest).unary(Unary::Log) * 0.2).unary(Unary::Exp);
    let h1 = flat.select((h0() * 1e-3).binary(Binary::Max, 1e-6.into()), steep);
    list.push(scalar(c.size, (h0() * 100.0).binary(Binary::Min, h1) / unit));
    list
}
