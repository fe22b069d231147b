//! Samplers that restore: their results agree with what was measured, and they are what their
//! papers write.

use std::sync::Arc;

use super::super::linear::{Axes, Degradation, Mask, Operator, Restoration, Spectrum};
use super::super::program::{Inputs, NetCall};
use super::super::sampler::{Context, Sampler, SolverOptions};
use super::super::{Error, Schedule, SchedulerConfig};
use crate::shape::Shape;

const SHAPE: Shape = Shape::new(8, 8, 3);

/// A factor for each number: all kinds of singular values at once.
#[derive(Debug)]
struct Factors(Vec<f64>);

impl Degradation for Factors {
    fn name(&self) -> String {
        "factors".into()
    }

    fn operator(&self) -> Operator {
        Operator::Diagonal { shape: SHAPE, factors: self.0.clone() }
    }

    fn adjoint(&self) -> Operator {
        self.operator()
    }

    fn pseudo_inverse(&self) -> Operator {
        let factors = self.0.iter().map(|f| if *f == 0.0 { 0.0 } else { 1.0 / f }).collect();
        Operator::Diagonal { shape: SHAPE, factors }
    }

    fn spectrum(&self) -> Option<Spectrum> {
        let same = || Operator::Axes { from: SHAPE, rows: None, columns: None, channels: None };
        Some(Spectrum { analysis: same(), synthesis: same(), values: self.0.clone() })
    }
}

/// One whose singular vectors nobody knows.
#[derive(Debug)]
struct Unknown(Mask);

impl Degradation for Unknown {
    fn name(&self) -> String {
        "unknown".into()
    }

    fn operator(&self) -> Operator {
        self.0.operator()
    }

    fn adjoint(&self) -> Operator {
        self.0.adjoint()
    }

    fn pseudo_inverse(&self) -> Operator {
        self.0.pseudo_inverse()
    }

    fn spectrum(&self) -> Option<Spectrum> {
        None
    }
}

fn mask() -> Mask {
    Mask::new(SHAPE, &(0..64).map(|i| i % 3 != 0).collect::<Vec<_>>()).unwrap()
}

fn picture() -> Vec<f64> {
    (0..SHAPE.len()).map(|i| (i as f64 * 0.7).sin() * 0.8).collect()
}

fn task(degradation: Arc<dyn Degradation>, noise: f64) -> Restoration {
    let measured = degradation.operator().apply(&picture()).iter().map(|v| *v as f32).collect();
    Restoration { degradation, measured, noise }
}

/// A network that knows nothing of pictures.
fn net(x: f64) -> f64 {
    0.3 * x.sin()
}

fn draw(draw: u32, i: usize) -> f64 {
    (i as f64 * 1.3 + f64::from(draw)).sin()
}

fn restored(context: &Context<'_>, sampler: Sampler) -> Result<Vec<f64>, Error> {
    let program = sampler.program(context)?;
    let y = program.find_register("y").unwrap();
    let measured = context.restoration.unwrap().measured.iter().map(|v| f64::from(*v)).collect();
    let inputs = Inputs { registers: vec![(y, measured)], ..Default::default() };
    let net = |call: NetCall<'_>| Ok(call.inputs[0].iter().map(|x| net(*x)).collect());
    let noise = |d: u32, shape: Shape| (0..shape.len()).map(|i| draw(d, i)).collect();
    Ok(program.interpret(&inputs, net, noise, |_| ()).unwrap())
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Whatever the network says, the result degraded again is the measurement.
#[test]
fn results_agree_with_the_measurement() {
    let all: [Arc<dyn Degradation>; 6] = [
        Arc::new(mask()),
        Arc::new(Axes::average(SHAPE, 4).unwrap()),
        Arc::new(Axes::bicubic(SHAPE, 2).unwrap()),
        Arc::new(Axes::grey(SHAPE).unwrap()),
        Arc::new(Axes::gaussian_blur(SHAPE, 0.6).unwrap()),
        Arc::new(Factors((0..SHAPE.len()).map(|i| (i % 5) as f64 / 2.0).collect())),
    ];
    let config = SchedulerConfig { set_alpha_to_one: false, ..Default::default() };
    for degradation in all {
        let task = task(degradation.clone(), 0.0);
        let (a, inverse) = (degradation.operator(), degradation.pseudo_inverse());
        let measured: Vec<f64> = task.measured.iter().map(|v| f64::from(*v)).collect();
        for sampler in [Sampler::Ddnm, Sampler::Ddrm, Sampler::Pc, Sampler::RePaint] {
            let filled = matches!(a, Operator::Diagonal { .. });
            // Averages of pixels are not pixels; and of known pixels a factor is 1.
            if sampler == Sampler::RePaint && (!filled || degradation.name() != "mask") {
                continue;
            }
            let etas = if sampler == Sampler::Pc { vec![None] } else { vec![None, Some(0.0), Some(1.0)] };
            for eta in etas {
                let context = Context { restoration: Some(&task), eta, ..Context::new(&config, SHAPE, 20) };
                let image = restored(&context, sampler).unwrap();
                // Of a blur, in what its inverse brings back.
                let seen = |y: &[f64]| a.apply(&inverse.apply(y));
                let far = far(&seen(&a.apply(&image)), &seen(&measured));
                assert!(far < 1e-5, "{} by {}: {far}", degradation.name(), sampler.name());
            }
        }
    }
}

/// Where all noise is fresh and nothing but pixels is known, DDNM and DDRM are one.
#[test]
fn ddnm_and_ddrm_meet() {
    let config = SchedulerConfig::default();
    let task = task(Arc::new(mask()), 0.0);
    let of = |eta, sampler| {
        let context =
            Context { restoration: Some(&task), eta: Some(eta), ..Context::new(&config, SHAPE, 10) };
        restored(&context, sampler).unwrap()
    };
    let (ddnm, ddrm) = (of(1.0, Sampler::Ddnm), of(1.0, Sampler::Ddrm));
    // The first draw aside, which DDRM has around the picture.
    assert!(far(&ddnm, &ddrm) < 0.05, "{}", far(&ddnm, &ddrm));
}

/// The paper's equations 7 and 8, written down coefficient by coefficient.
#[test]
fn ddrm_is_the_papers() {
    let config = SchedulerConfig { clip_sample: false, ..Default::default() };
    let schedule = Schedule::new(&config).unwrap();
    let factors: Vec<f64> = (0..SHAPE.len()).map(|i| [0.0, 0.05, 0.5, 1.0][i % 4]).collect();
    for (noise, eta, eta_b) in [(0.0, 0.85, 1.0), (0.2, 0.85, 1.0), (0.2, 0.3, 0.6), (1.0, 0.0, 1.0)] {
        let task = task(Arc::new(Factors(factors.clone())), noise);
        let context = Context {
            restoration: Some(&task),
            eta: Some(eta),
            options: SolverOptions { eta_b: Some(eta_b), ..Default::default() },
            ..Context::new(&config, SHAPE, 10)
        };
        let got = restored(&context, Sampler::Ddrm).unwrap();
        let mut want = Vec::new();
        for (i, s) in factors.iter().enumerate() {
            let y = if *s == 0.0 { 0.0 } else { f64::from(task.measured[i]) / s };
            let alpha = |t: usize| schedule.alpha_bar()[t];
            let mut x = draw(0, i) + alpha(900).sqrt() * y;
            for k in 0..10 {
                let t = 900 - 100 * k;
                let eps = net(x);
                let x0 = (x - (1.0 - alpha(t)).sqrt() * eps) / alpha(t).sqrt();
                let next = if k == 9 { 1.0 } else { alpha(t - 100) };
                let sigma = ((1.0 - next) / next).sqrt();
                let z = draw(k as u32 + 1, i);
                let kept = (1.0 - eta * eta).sqrt() * sigma;
                let coefficient = if *s == 0.0 {
                    x0 + kept * eps + eta * sigma * z
                } else if sigma < noise / s {
                    x0 + kept * (y - x0) * s / noise + eta * sigma * z
                } else {
                    let spread = sigma * sigma - (noise * eta_b / s).powi(2);
                    (1.0 - eta_b) * x0 + eta_b * y + spread.sqrt() * z
                };
                x = next.sqrt() * coefficient;
            }
            want.push(x);
        }
        assert!(far(&got, &want) < 1e-9, "{noise} {eta} {eta_b}: {}", far(&got, &want));
    }
}

/// Algorithm 1, written down pixel by pixel.
#[test]
fn repaint_is_the_papers() {
    let config = SchedulerConfig { clip_sample: false, ..Default::default() };
    let schedule = Schedule::new(&config).unwrap();
    let task = task(Arc::new(mask()), 0.0);
    let options = SolverOptions { jump_length: Some(2), jump_n_sample: Some(2), ..Default::default() };
    let context = Context { restoration: Some(&task), options, ..Context::new(&config, SHAPE, 5) };
    let got = restored(&context, Sampler::RePaint).unwrap();
    let known = mask().operator().apply(&vec![1.0; SHAPE.len()]);
    let alpha = |level: i32| if level < 0 { 1.0 } else { schedule.alpha_bar()[200 * level as usize] };
    let mut want = Vec::new();
    for (i, known) in known.iter().enumerate() {
        let (mut x, mut draws) = (draw(0, i), 0);
        let mut z = || {
            draws += 1;
            draw(draws, i)
        };
        // 4, 3, 2, up to 4, 3, 2, 1, 0, up to 2, 1, 0 and the image.
        let moves = [(4, 3), (3, 2), (2, 4), (4, 3), (3, 2), (2, 1), (1, 0), (0, 2), (2, 1), (1, 0), (0, -1)];
        for (from, to) in moves {
            let (a, b) = (alpha(from), alpha(to));
            if to > from {
                x = (b / a).sqrt() * x + (1.0 - b / a).sqrt() * z();
                continue;
            }
            let eps = net(x);
            let x0 = (x - (1.0 - a).sqrt() * eps) / a.sqrt();
            let beta = 1.0 - a / b;
            // The posterior of DDPM.
            let mean = (b.sqrt() * beta * x0 + (a / b).sqrt() * (1.0 - b) * x) / (1.0 - a);
            let z = z();
            let unknown = mean + ((1.0 - b) / (1.0 - a) * beta).max(0.0).sqrt() * z;
            let y = b.sqrt() * f64::from(task.measured[i]) + (1.0 - b).sqrt() * z;
            x = if *known > 0.0 { y } else { unknown };
        }
        want.push(x);
    }
    assert!(far(&got, &want) < 1e-9, "{}", far(&got, &want));
    assert_eq!(Sampler::RePaint.program(&context).unwrap().nfe(), 9);
}

#[test]
fn what_does_not_fit_is_refused() {
    let config = SchedulerConfig::default();
    let refused = |sampler: Sampler, degradation: Arc<dyn Degradation>, noise, options, words: &[&str]| {
        let task = task(degradation, noise);
        let context = Context { restoration: Some(&task), options, ..Context::new(&config, SHAPE, 5) };
        let error = sampler.program(&context).unwrap_err().to_string();
        assert!(words.iter().all(|w| error.contains(w)), "{error}");
    };
    let none = SolverOptions::default();
    let average = || Arc::new(Axes::average(SHAPE, 2).unwrap());
    refused(Sampler::RePaint, average(), 0.0, none, &["average", "repaint", "ddnm"]);
    for sampler in [Sampler::Ddnm, Sampler::RePaint, Sampler::Pc] {
        refused(sampler, Arc::new(mask()), 0.1, none, &["noise", sampler.name(), "ddrm"]);
    }
    for sampler in [Sampler::Ddrm, Sampler::Pc] {
        refused(sampler, Arc::new(Unknown(mask())), 0.0, none, &["unknown", "not known", "ddnm"]);
    }
    refused(Sampler::Ddrm, average(), -1.0, none, &["noise"]);
    let eta_b = SolverOptions { eta_b: Some(2.0), ..none };
    refused(Sampler::Ddrm, average(), 0.0, eta_b, &["eta-b"]);
    refused(Sampler::Ddnm, average(), 0.0, eta_b, &["eta-b", "ddrm"]);
    let jumps = SolverOptions { jump_length: Some(0), ..none };
    refused(Sampler::RePaint, Arc::new(mask()), 0.0, jumps, &["jump-length"]);
    let task = task(Arc::new(mask()), 0.0);
    let ddim = Context { restoration: Some(&task), ..Context::new(&config, SHAPE, 5) };
    let error = Sampler::Ddim.program(&ddim).unwrap_err().to_string();
    assert!(error.contains("ddim") && error.contains("ddnm") && error.contains("repaint"), "{error}");
    for sampler in Sampler::all().filter(|s| s.only_restores()) {
        let error = sampler.program(&Context::new(&config, SHAPE, 5)).unwrap_err().to_string();
        assert!(error.contains(sampler.name()) && error.contains("inpaint"), "{error}");
    }
}
