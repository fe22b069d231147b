//! Solvers in continuous time: on Gaussian data, whose flow and chains are known, and
//! against SciPy and score_sde_pytorch.

use std::cell::RefCell;

use safetensors::SafeTensors;

use super::super::continuous::{Clock, Continuous};
use super::super::process::{Process, Quantity};
use super::super::program::{Inputs, Instruction, NetCall, Program, Snapshot};
use super::super::sampler::{Context, Corrector, ErrorControl, Predictor, Sampler, SolverOptions};
use super::super::{Prediction, SchedulerConfig, SolverConfig};
use crate::kernels::noise;
use crate::shape::Shape;

const MEAN: f64 = 0.3;
const SD: f64 = 0.5;
const ONE: Shape = Shape::new(1, 1, 1);
const VP: Process = Process::VpLinear { beta_min: 0.1, beta_max: 20.0 };
const SUB_VP: Process = Process::SubVp { beta_min: 0.1, beta_max: 20.0 };
const VE: Process = Process::Ve { sigma_min: 0.01, sigma_max: 50.0 };

fn view(process: Process) -> Continuous {
    let ve = matches!(process, Process::Ve { .. });
    let (quantity, clock) =
        if ve { (Quantity::Score, Clock::Std) } else { (Quantity::Eps, Clock::Scaled(999.0)) };
    let end = if ve { 1e-5 } else { 1e-3 };
    let (start, scales, snr) = (1.0, 1000, 0.16);
    Continuous { process, quantity, clock, start, end, scales, snr, corrector_steps: 1, stds: None }
}

fn config(process: Process) -> SchedulerConfig {
    SchedulerConfig { continuous: Some(view(process)), ..Default::default() }
}

fn chain(prediction_type: Prediction) -> SchedulerConfig {
    SchedulerConfig { prediction_type, clip_sample: false, ..Default::default() }
}

/// The time of what the network is told.
fn time_of(view: &Continuous, told: f64) -> f64 {
    match view.clock {
        Clock::Scaled(scale) => told / scale,
        _ => view.process.time_of_log_snr(-2.0 * told.ln()),
    }
}

/// A perfect network for x0 ~ N(MEAN, SD^2).
fn answer(view: &Continuous, told: f64, x: f64) -> f64 {
    let t = time_of(view, told);
    let (a, s) = (view.process.mean(t), view.process.std(t));
    let x0 = MEAN + a * SD * SD / (a * a * SD * SD + s * s) * (x - a * MEAN);
    view.quantity.of_x0(x0, x, a, s)
}

fn perfect(view: &Continuous) -> impl Fn(NetCall<'_>) -> Vec<f64> + '_ {
    |call| call.inputs[0].iter().map(|x| answer(view, call.time, *x)).collect()
}

fn context<'a>(config: &'a SchedulerConfig, shape: Shape, steps: usize) -> Context<'a> {
    Context::new(config, shape, steps)
}

/// The state before the last step of a flow, begun `deviations` from the mean, and its
/// error.
fn flow_error(sampler: Sampler, config: &SchedulerConfig, steps: usize, options: SolverOptions) -> f64 {
    let view = Continuous::of(config).unwrap();
    let program = sampler.program(&Context { options, ..context(config, ONE, steps) }).unwrap();
    let moments = |t: f64| (view.process.mean(t), view.process.mean(t) * SD);
    let deviation = |t: f64| moments(t).1.hypot(view.process.std(t));
    let start = (moments(view.start).0 * MEAN + 1.3 * deviation(view.start)) / view.prior();
    let want = moments(view.end).0 * MEAN + 1.3 * deviation(view.end);
    let mut states = Vec::new();
    let net = perfect(&view);
    let after = |s: &Snapshot<'_>| states.push(s.registers[0][0]);
    program.interpret(&Inputs::default(), |call| Ok(net(call)), |_, _| vec![start], after).unwrap();
    (states[states.len() - 2] - want).abs()
}

#[test]
fn fixed_steps_converge_with_their_orders() {
    for process in [VP, SUB_VP, VE] {
        let config = config(process.clone());
        for (sampler, order, steps) in [(Sampler::Rk4, 4.0, 192), (Sampler::FlowHeun, 2.0, 384)] {
            let errors =
                [steps, 2 * steps].map(|n| flow_error(sampler, &config, n, SolverOptions::default()));
            let measured = (errors[0] / errors[1]).log2();
            assert!((measured - order).abs() < 0.15, "{sampler:?} {process:?}: {measured}, {errors:?}");
        }
    }
}

#[test]
fn adaptive_steps_keep_their_tolerance() {
    let chains = Prediction::ALL.map(chain);
    let all = [VP, SUB_VP, VE].map(config).into_iter().chain(chains);
    for config in all {
        // The error of the whole way in tolerances of a step, a little above what is measured. Beside
        // loose ones it is more: the start of a flow is flat, and its steps are long.
        for (sampler, tolerances) in [
            (Sampler::Rk45, [(3e-5, 20.0), (1e-5, 4.0), (1e-6, 4.5)]),
            (Sampler::DpmAdaptive, [(1e-2, 6.0), (1e-3, 7.0), (1e-4, 1.5)]),
            (Sampler::DpmAdaptive12, [(1e-2, 1.0), (1e-3, 1.5), (1e-4, 2.0)]),
        ] {
            for (tolerance, bound) in tolerances {
                let options =
                    SolverOptions { rtol: Some(tolerance), atol: Some(tolerance), ..Default::default() };
                let error = flow_error(sampler, &config, 1, options) / tolerance;
                assert!(error < bound, "{sampler:?} {tolerance} {config:?}: {error} tolerances");
            }
        }
    }
}

/// Evaluations, accepted steps and end states of `scipy.integrate.solve_ivp(..., "RK45")`
/// 1.18 on the same flow, from t = 1 to 1e-3, atol = rtol.
#[test]
fn steps_are_those_of_scipy() {
    let both = [[1.3, -0.4, 0.2, 2.0], [-0.7, 0.1, 0.9, -1.9]];
    let config = config(VP);
    let view = Continuous::of(&config).unwrap();
    let cases = [
        (1e-3, ErrorControl::PerImage, [(32, 4), (38, 4)], [0.94032296, -0.05078986]),
        (1e-5, ErrorControl::PerImage, [(50, 6), (56, 6)], [0.94909845, -0.05106342]),
        (1e-6, ErrorControl::PerImage, [(92, 9), (92, 9)], [0.94911485, -0.05106551]),
        (1e-3, ErrorControl::Batch, [(32, 4), (32, 4)], [0.93502872, -0.04296215]),
        (1e-5, ErrorControl::Batch, [(56, 6), (56, 6)], [0.94911044, -0.05106423]),
        (1e-6, ErrorControl::Batch, [(92, 9), (92, 9)], [0.94911485, -0.05106551]),
    ];
    for (tolerance, error_control, counts, ends) in cases {
        let options = SolverOptions {
            rtol: Some(tolerance),
            atol: Some(tolerance),
            error_control,
            ..Default::default()
        };
        let program =
            Sampler::Rk45.program(&Context { options, ..context(&config, Shape::new(1, 4, 1), 1) }).unwrap();
        assert_eq!(program.mixes_images(), error_control == ErrorControl::Batch);
        let slot = |name: &str| program.find_slot(name).unwrap().0 as usize;
        let mut seen = [(0, 0, 0.0); 2];
        let net = perfect(&view);
        program
            .interpret_batch(
                &[Inputs::default(), Inputs::default()],
                |_, call| Ok(net(call)),
                |i, _, _| both[i].to_vec(),
                |i, s| {
                    if s.label == "adaptive steps" {
                        let (accepted, rejected) = (s.slots[slot("accepted")], s.slots[slot("rejected")]);
                        seen[i] = (2 + 6 * (accepted + rejected) as u32, accepted as u32, s.registers[0][0]);
                    }
                },
            )
            .unwrap();
        for i in 0..2 {
            let (nfe, accepted, x) = seen[i];
            assert_eq!((nfe, accepted), counts[i], "{tolerance} {error_control:?} image {i}");
            assert!((x - ends[i]).abs() < 2e-6, "{tolerance} {error_control:?} image {i}: {x}");
        }
    }
}

/// What an image gets does not change by passes that others still need.
#[test]
fn finished_images_idle() {
    for sampler in [Sampler::Rk45, Sampler::DpmAdaptive, Sampler::DpmAdaptive12] {
        let config = chain(Prediction::V);
        let view = Continuous::of(&config).unwrap();
        let program = sampler.program(&context(&config, ONE, 1)).unwrap();
        let net = perfect(&view);
        // The second image answers to a wilder network, which takes more steps.
        let wild = |call: NetCall<'_>| vec![(7.0 * call.inputs[0][0]).sin() + call.time.sin()];
        let start = |i: usize| vec![0.4 + i as f64];
        let alone =
            program.interpret(&Inputs::default(), |call| Ok(net(call)), |_, _| start(0), |_| ()).unwrap();
        let slot = |name: &str| program.find_slot(name).unwrap().0 as usize;
        let mut counts = [0.0; 2];
        let together = program
            .interpret_batch(
                &[Inputs::default(), Inputs::default()],
                |i, call| Ok(if i == 0 { net(call) } else { wild(call) }),
                |i, _, _| start(i),
                |i, s| counts[i] = s.slots[slot("accepted")] + s.slots[slot("rejected")],
            )
            .unwrap();
        assert!(counts[1] > counts[0], "{sampler:?}: {counts:?}");
        assert_eq!(together[0], alone, "{sampler:?}");
    }
}

/// Functions of time as the GPU reads them, in f32, against f64 over their whole interval.
#[test]
fn tables_hold_their_bound() {
    let mut configs: Vec<SchedulerConfig> = [VP, SUB_VP, VE].map(config).into();
    configs.push(config(Process::VpLinear { beta_min: 0.1, beta_max: 4.0 }));
    configs.extend(Prediction::ALL.map(chain));
    let schedules = ["squaredcos_cap_v2", "scaled_linear", "sigmoid"];
    configs.extend(schedules.map(|name| {
        let text = format!(r#"{{"beta_schedule": "{name}", "prediction_type": "v_prediction"}}"#);
        SchedulerConfig::from_json(&text).unwrap()
    }));
    let mut compared = 0;
    for config in configs {
        let view = Continuous::of(&config).unwrap();
        let program = Sampler::Rk45.program(&context(&config, ONE, 1)).unwrap();
        for table in &program.tables {
            let all = table.knots[table.knots.len() - 1];
            let t = |left: f64| view.end + left * (view.start - view.end) / all;
            let exact = |left: f64| match table.name.as_str() {
                "of x" => view.flow(t(left)).x,
                "of out" => view.flow(t(left)).out,
                "told" => view.process.std(t(left)),
                other => panic!("{other}"),
            };
            let floor = 1e-9 * exact(0.0).abs().max(exact(all).abs());
            let mut check = |left: f64| {
                let left = left as f32;
                let want = exact(f64::from(left));
                let i = table.knots.partition_point(|k| *k as f32 <= left).saturating_sub(1);
                let i = i.min(table.cubics.len() - 1);
                let inverse = (1.0 / (table.knots[i + 1] - table.knots[i])) as f32;
                let s = ((left - table.knots[i] as f32) * inverse).clamp(0.0, 1.0);
                let got = table.cubics[i].iter().rev().fold(0f32, |v, c| v.mul_add(s, *c as f32));
                let error = (f64::from(got) - want).abs() / want.abs().max(floor);
                assert!(error <= 5e-7, "{} at {left}: {got} is not {want} ({error:e}) {view:?}", table.name);
                compared += 1;
            };
            // Everywhere alike, at every knot, and near both ends.
            (0..=20_000).for_each(|i| check(all * f64::from(i) / 2e4));
            table.knots.iter().for_each(|k| check(*k));
            (0..300).for_each(|i| check(f64::from(i)));
            (0..300).for_each(|i| check(all - f64::from(i)));
        }
    }
    assert!(compared > 200_000, "{compared}");
}

/// Whole units of time do not drift, whatever is subtracted how often.
#[test]
fn time_does_not_drift_in_f32() {
    let program = Sampler::Rk45.program(&context(&chain(Prediction::V), ONE, 1)).unwrap();
    let all = program.tables[0].knots[program.tables[0].knots.len() - 1];
    assert!(all <= f64::from(1u32 << 24) && all.fract() == 0.0);
    let (mut left, mut exact) = (all as f32, all);
    for k in 0..300 {
        let step = (all / 350.0 * (1.0 + 0.1 * f64::from(k % 7))).round();
        left -= step as f32;
        exact -= step;
        assert_eq!(f64::from(left), exact);
    }
}

/// The answers of all views of one chain are one.
#[test]
fn every_view_of_one_model_gives_one_answer() {
    for sampler in Sampler::all().filter(|s| s.is_continuous()) {
        let answers = Prediction::ALL.map(|prediction| {
            let config = chain(prediction);
            let view = Continuous::of(&config).unwrap();
            let program = sampler.program(&context(&config, Shape::new(1, 2, 1), 25)).unwrap();
            let net = perfect(&view);
            let noise = |draw: u32, _| vec![(f64::from(draw) * 1.7).sin(), (f64::from(draw) * 2.9).cos()];
            program.interpret(&Inputs::default(), |call| Ok(net(call)), noise, |_| ()).unwrap()
        });
        for answer in &answers {
            let close = answer.iter().zip(&answers[0]).all(|(a, b)| (a - b).abs() < 2e-6);
            assert!(close, "{sampler:?}: {answers:?}");
        }
    }
}

/// `x' = x + ...` of a predictor on Gaussian data, from the equations of the papers.
struct Affine {
    of_x: f64,
    constant: f64,
    noise: f64,
}

fn exact_score(view: &Continuous, t: f64) -> (f64, f64) {
    let (a, s) = (view.process.mean(t), view.process.std(t));
    let variance = a * a * SD * SD + s * s;
    (-1.0 / variance, a * MEAN / variance)
}

fn recursion(view: &Continuous, steps: usize, predictor: Predictor, ald: bool) -> Vec<Affine> {
    let levels = view.levels(steps).unwrap();
    let mut list = Vec::new();
    for (k, level) in levels.iter().enumerate() {
        let (of_x, constant) = exact_score(view, level.t);
        let last = k + 1 == levels.len();
        if ald {
            let eps = 2.0 * level.keep.powi(2) * (0.16 * view.process.std(level.t)).powi(2);
            list.push(Affine { of_x: 1.0 + eps * of_x, constant: eps * constant, noise: (2.0 * eps).sqrt() });
        }
        let beta = level.added * level.added;
        let (f, g) = (view.process.drift(level.t), view.process.diffusion(level.t));
        let ve = matches!(view.process, Process::Ve { .. });
        let (a, b, noise) = match predictor {
            Predictor::EulerMaruyama => {
                let dt = -level.dt;
                (1.0 - f * dt + g * g * dt * of_x, g * g * dt * constant, g * dt.sqrt())
            }
            Predictor::ReverseDiffusion => (2.0 - level.keep + beta * of_x, beta * constant, level.added),
            Predictor::Ancestral if ve => {
                (1.0 + beta * of_x, beta * constant, level.added * level.below / level.std)
            }
            Predictor::Ancestral => {
                ((1.0 + beta * of_x) / level.keep, beta * constant / level.keep, level.added)
            }
        };
        list.push(Affine { of_x: a, constant: b, noise: if last { 0.0 } else { noise } });
    }
    list
}

fn moments(list: &[Affine], mut mean: f64, mut variance: f64) -> (f64, f64) {
    for step in list {
        mean = step.of_x * mean + step.constant;
        variance = step.of_x.powi(2) * variance + step.noise.powi(2);
    }
    (mean, variance)
}

/// 1e5 paths (elements of one image) against the chain's own recursion, which the program
/// knows nothing of.
#[test]
fn stochastic_samplers_have_the_moments_of_their_chain() {
    const PATHS: usize = 100_000;
    let shape = Shape::new(1, PATHS, 1);
    for process in [VP, SUB_VP, VE] {
        for predictor in [Predictor::EulerMaruyama, Predictor::ReverseDiffusion, Predictor::Ancestral] {
            for corrector in [Corrector::None, Corrector::Ald] {
                let config = config(process.clone());
                let view = Continuous::of(&config).unwrap();
                let options = SolverOptions {
                    predictor: Some(predictor),
                    corrector: Some(corrector),
                    ..Default::default()
                };
                let program = Sampler::Pc.program(&Context { options, ..context(&config, shape, 40) });
                if matches!((&process, predictor), (Process::SubVp { .. }, Predictor::Ancestral)) {
                    assert!(program.unwrap_err().to_string().contains("no discrete chain"));
                    continue;
                }
                let noise = |draw: u32, shape: Shape| {
                    let mut out = vec![0f32; shape.len()];
                    noise::fill(11, 0, draw, &mut out);
                    out.into_iter().map(f64::from).collect()
                };
                let net = perfect(&view);
                let x = program
                    .unwrap()
                    .interpret(&Inputs::default(), |call| Ok(net(call)), noise, |_| ())
                    .unwrap();
                let list = recursion(&view, 40, predictor, corrector == Corrector::Ald);
                let (mean, variance) = moments(&list, 0.0, view.prior().powi(2));
                let n = PATHS as f64;
                let got = x.iter().sum::<f64>() / n;
                let spread = x.iter().map(|v| (v - got).powi(2)).sum::<f64>() / (n - 1.0);
                let errors = ((variance / n).sqrt(), variance * (2.0 / n).sqrt());
                let what = format!("{process:?} {predictor:?} {corrector:?}");
                assert!((got - mean).abs() < 4.0 * errors.0, "{what}: mean {got}, not {mean}");
                assert!((spread - variance).abs() < 4.0 * errors.1, "{what}: {spread}, not {variance}");
            }
        }
    }
}

/// Weak order 1: the chain's distance to the continuous process halves with the step.
/// (The prior and the last step are left out: the chain begins at the process's own
/// density and is looked at where it ends.)
#[test]
fn chains_converge_to_the_reverse_sde() {
    for process in [VP, VE] {
        for predictor in [Predictor::EulerMaruyama, Predictor::ReverseDiffusion, Predictor::Ancestral] {
            // In f32 the reference's level numbers are right for few steps only, VE's above all.
            let steps = if process == VP { 1000 } else { 100 };
            let distances: Vec<f64> = [1, 2, 4]
                .into_iter()
                .map(|k| {
                    // The reference's levels end at `end`, and do not become dense below it.
                    let view = Continuous { end: 1e-5, ..view(process.clone()) };
                    let n = k * steps;
                    let list = recursion(&view, n, predictor, false);
                    let (a, s) = (view.process.mean(1.0), view.process.std(1.0));
                    let start = (a * MEAN, (a * SD).powi(2) + s * s);
                    // Half way, where no step is singular, at the chain's own time there.
                    let (mean, variance) = moments(&list[..n / 2], start.0, start.1);
                    let t = view.levels(n).unwrap()[n / 2].t;
                    let (a, s) = (view.process.mean(t), view.process.std(t));
                    let want = (a * MEAN, (a * SD).powi(2) + s * s);
                    ((mean - want.0).abs() + (variance - want.1).abs()) / want.1
                })
                .collect();
            for pair in distances.windows(2) {
                let order = (pair[0] / pair[1]).log2();
                assert!((order - 1.0).abs() < 0.1, "{process:?} {predictor:?}: {order} {distances:?}");
            }
        }
    }
}

/// DDPM's ancestral chain on more and more levels of one process: its samples become those
/// of the reverse SDE, whose density is the data's.
#[test]
fn ddpm_converges_to_the_reverse_sde() {
    let distances: Vec<f64> = [200, 400, 800]
        .into_iter()
        .map(|n: usize| {
            let at = |k: usize| VP.mean(k as f64 / n as f64).powi(2);
            let betas = (1..=n).map(|k| 1.0 - at(k) / at(k - 1)).collect();
            let config = SchedulerConfig {
                trained_betas: Some(betas),
                num_train_timesteps: n,
                ..chain(Prediction::Epsilon)
            };
            let view = Continuous::of(&config).unwrap();
            let program = Sampler::Ddpm.program(&context(&config, ONE, n)).unwrap();
            let net = perfect(&view);
            let end = |start: f64, d: u32| {
                let noise = |draw: u32, _| vec![if draw == 0 { start } else { f64::from(draw == d) }];
                program.interpret(&Inputs::default(), |call| Ok(net(call)), noise, |_| ()).unwrap()[0]
            };
            let center = end(0.0, u32::MAX);
            let from_start = (end(1.0, u32::MAX) - center).powi(2);
            // One draw in so many is enough for the sum over all: they change slowly.
            let variance = (1..=n as u32).map(|d| (end(0.0, d) - center).powi(2)).sum::<f64>();
            (center - MEAN).abs() + (from_start + variance - SD * SD).abs()
        })
        .collect();
    // 0.90 and 0.93: nearer to 1 with every halving, and beyond what is left of it by half.
    let orders: Vec<f64> = distances.windows(2).map(|pair| (pair[0] / pair[1]).log2()).collect();
    assert!(orders.iter().all(|o| (o - 1.0).abs() < 0.15), "{orders:?}: {distances:?}");
    let limit = 2.0 * orders[1] - orders[0];
    assert!((limit - 1.0).abs() < 0.05, "{limit}, of {orders:?}");
}

/// Langevin's step size by its definition, per image and per batch.
#[test]
fn langevin_steps_have_the_size_that_norms_give() {
    let (config, shape) = (config(VE), Shape::new(1, 3, 1));
    let z = [[0.6, -1.2, 0.3], [2.0, 0.1, -0.4]];
    let score = [[1.0, 2.0, -2.0], [0.5, 0.0, 0.25]];
    for error_control in [ErrorControl::PerImage, ErrorControl::Batch] {
        let options = SolverOptions { snr: Some(0.2), error_control, ..Default::default() };
        let program = Sampler::Pc.program(&Context { options, ..context(&config, shape, 2) }).unwrap();
        let norm = |v: &[f64; 3]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let mut eps = [0.0; 2];
        let slot = program.find_slot("eps").unwrap().0 as usize;
        let mut first = true;
        let result = program.interpret_batch(
            &[Inputs::default(), Inputs::default()],
            |i, _| Ok(score[i].to_vec()),
            |i, draw, _| if draw == 0 { vec![0.0; 3] } else { z[i].to_vec() },
            |i, s| {
                if first {
                    eps[i] = s.slots[slot];
                    first = i == 0;
                }
            },
        );
        assert!(result.is_ok());
        for i in 0..2 {
            let (a, b) = match error_control {
                ErrorControl::PerImage => (norm(&z[i]), norm(&score[i])),
                ErrorControl::Batch => {
                    ((norm(&z[0]) + norm(&z[1])) / 2.0, (norm(&score[0]) + norm(&score[1])) / 2.0)
                }
            };
            let want = 2.0 * (0.2 * a / b).powi(2);
            assert!((eps[i] - want).abs() < 1e-12, "{error_control:?} {i}: {} is not {want}", eps[i]);
        }
    }
}

fn stored(bytes: &[u8], name: &str) -> Vec<f64> {
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    let data = tensor.data();
    match tensor.dtype() {
        safetensors::Dtype::F64 => {
            data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
        }
        _ => data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
    }
}

/// score_sde_pytorch's adaptive solver from its start: what the network is asked, given what
/// it answered; and the noise and times of its predictors.
#[test]
fn score_sde_asks_the_same() {
    let vp = Process::VpLinear { beta_min: 0.1, beta_max: 4.0 };
    let cases: [(Process, &[u8]); 2] = [
        (vp, include_bytes!("../../../tests/data/score_sde/vp.safetensors")),
        (VE, include_bytes!("../../../tests/data/score_sde/ve.safetensors")),
    ];
    for (process, bytes) in cases {
        let config = SchedulerConfig {
            continuous: Some(Continuous { scales: 6, ..view(process) }),
            ..Default::default()
        };
        let view = Continuous::of(&config).unwrap();
        // Layouts do not matter to a solver: NCHW as stored.
        let shape = Shape::new(16, 16, 3);
        let half = |name: &str, i: usize| stored(bytes, name)[i * shape.len()..][..shape.len()].to_vec();
        let options = SolverOptions {
            rtol: Some(1e-4),
            atol: Some(1e-4),
            error_control: ErrorControl::Batch,
            ..Default::default()
        };
        let program = Sampler::Rk45.program(&Context { options, ..context(&config, shape, 1) }).unwrap();
        let calls = RefCell::new([0usize; 2]);
        let worst = RefCell::new(0f64);
        let result = program.interpret_batch(
            &[Inputs::default(), Inputs::default()],
            |i, call| {
                let k = calls.borrow()[i];
                calls.borrow_mut()[i] += 1;
                if k == 7 {
                    return Err("no more is stored".into());
                }
                let want = half(&format!("eval_x_{k}"), i);
                let size = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                let error = call.inputs[0].iter().zip(&want).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
                let told = stored(bytes, &format!("eval_label_{k}"))[i];
                let late = (call.time - told).abs() / told;
                let most = worst.borrow().max(error / size).max(late);
                *worst.borrow_mut() = most;
                Ok(half(&format!("eval_out_{k}"), i))
            },
            |i, _, _| half("init", i).into_iter().map(|v| v / view.prior()).collect(),
            |_, _| (),
        );
        assert!(result.unwrap_err().to_string().contains("no more is stored"));
        assert_eq!(calls.into_inner(), [8, 7]);
        let worst = worst.into_inner();
        assert!(worst < 1e-5, "{worst} {view:?}");

        let tensors = SafeTensors::deserialize(bytes).unwrap();
        let mut compared = 0;
        for (kind, predictor) in [
            ("em", Predictor::EulerMaruyama),
            ("ald_em", Predictor::EulerMaruyama),
            ("ancestral", Predictor::Ancestral),
            ("pc_rd_langevin", Predictor::ReverseDiffusion),
        ] {
            if tensors.tensor(&format!("{kind}/timesteps")).is_err() {
                continue;
            }
            let times = stored(bytes, &format!("{kind}/timesteps"));
            let levels = view.levels(6).unwrap();
            let list = recursion(&view, 6, predictor, false);
            for k in 0..5 {
                assert_eq!(levels[k].t, times[k], "{kind} {k}");
                let want = stored(bytes, &format!("{kind}/added_{k}"))[0];
                let got = list[k].noise;
                assert!((got - want).abs() < 1e-5 * want, "{kind} {k}: {got} is not {want}");
                compared += 1;
            }
        }
        assert_eq!(compared, 15);
    }
}

#[test]
fn what_continuous_samplers_cannot_do_is_refused_in_words() {
    let discrete = chain(Prediction::V);
    let refused = |sampler: Sampler, config: &SchedulerConfig, steps: usize, options: SolverOptions| {
        let context = Context { options, ..context(config, ONE, steps) };
        sampler.program(&context).expect_err("refused").to_string()
    };
    let d = SolverOptions::default();
    let all = [
        (refused(Sampler::Ddim, &config(VE), 6, d), "choose one of euler_maruyama"),
        (refused(Sampler::Rk45, &discrete, 1, SolverOptions { rtol: Some(0.0), ..d }), "rtol = 0"),
        (refused(Sampler::Rk45, &discrete, 1, SolverOptions { atol: Some(f64::NAN), ..d }), "atol = NaN"),
        (refused(Sampler::Rk4, &discrete, 1, SolverOptions { rtol: Some(0.1), ..d }), "rk4 has no rtol"),
        (refused(Sampler::Rk45, &discrete, 1, SolverOptions { snr: Some(0.1), ..d }), "rk45 has no snr"),
        (refused(Sampler::Pc, &discrete, 6, SolverOptions { snr: Some(-0.1), ..d }), "snr = -0.1"),
        (refused(Sampler::ReverseDiffusion, &config(VP), 20, d), "choose more than 20"),
        (refused(Sampler::Pc, &discrete, 1001, d), "choose 1 to 1000"),
        (refused(Sampler::Rk4, &discrete, 0, d), "steps = 0"),
        (
            refused(Sampler::Pc, &discrete, 6, SolverOptions { corrector_steps: Some(9999), ..d }),
            "corrector_steps = 9999",
        ),
        (
            refused(
                Sampler::Pc,
                &discrete,
                6,
                SolverOptions { predictor: Some(Predictor::Ancestral), probability_flow: true, ..d },
            ),
            "ancestral sampling has no flow",
        ),
    ];
    for (message, needle) in all {
        assert!(message.contains(needle), "{message}");
    }
    let zero = r#"{"rescale_betas_zero_snr": true, "prediction_type": "v_prediction"}"#;
    let zero = SchedulerConfig::from_json(zero).unwrap();
    for sampler in Sampler::all().filter(|s| s.is_continuous()) {
        let program = sampler.program(&context(&zero, ONE, 40)).unwrap();
        let net = |call: NetCall<'_>| Ok(vec![(3.0 * call.inputs[0][0]).sin()]);
        let x = program.interpret(&Inputs::default(), net, |d, _| vec![f64::from(d).cos()], |_| ()).unwrap();
        assert!(x[0].is_finite() && x[0].abs() < 1e5, "{sampler:?}: {x:?}");
    }
    assert!(SchedulerConfig::from_json(r#"{"_class_name": "ScoreSdeVeScheduler", "sigma_min": 0}"#).is_err());
}

#[test]
fn a_program_has_one_loop_that_can_end() {
    let program = Sampler::Rk45.program(&context(&chain(Prediction::V), ONE, 1)).unwrap();
    assert_eq!((program.nfe(), program.loop_nfe()), (9, 6));
    let text = program.to_string();
    assert!(text.contains("until all done, at most 1000 times:") && !text.contains("mean"), "{text}");
    let broken = |change: &dyn Fn(&mut Vec<Instruction>)| {
        let mut p: Program = program.clone();
        change(&mut p.steps[1].instructions);
        p.validate().unwrap_err().to_string()
    };
    let twice = broken(&|list| list.push(list[0].clone()));
    assert!(twice.contains("one loop at most"), "{twice}");
    let nested = broken(&|list| {
        let inner = list[0].clone();
        if let Instruction::Loop { body, .. } = &mut list[0] {
            body.push(inner);
        }
    });
    assert!(nested.contains("one loop at most"), "{nested}");
    let endless = broken(&|list| {
        if let Instruction::Loop { body, until, .. } = &mut list[0] {
            let until = *until;
            body.retain(|i| i.slot_written() != Some(until));
        }
    });
    assert!(endless.contains("slot done is read before"), "{endless}");
    let never = broken(&|list| {
        if let Instruction::Loop { at_most, .. } = &mut list[0] {
            *at_most = 0;
        }
    });
    assert!(never.contains("at_most"), "{never}");
    let mut short = program.clone();
    if let Instruction::Loop { at_most, .. } = &mut short.steps[1].instructions[0] {
        *at_most = 2;
    }
    let net = |call: NetCall<'_>| Ok(call.inputs[0].to_vec());
    let message = short.interpret(&Inputs::default(), net, |_, _| vec![1.0], |_| ()).unwrap_err().to_string();
    assert!(message.contains("not all images are done after 2 passes"), "{message}");
    let _ = SolverConfig::default();
}
