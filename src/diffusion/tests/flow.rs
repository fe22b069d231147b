//! The flow either way and log-densities, on Gaussian data in two dimensions, x0 ~ N(MEAN,
//! COVARIANCE), whose flow and densities are known.

use super::super::continuous::{Clock, Continuous};
use super::super::guidance::Conditioning;
use super::super::process::{Process, Quantity};
use super::super::program::{Inputs, NetCall, Program};
use super::super::sampler::flow::Flow;
use super::super::sampler::{Context, SolverOptions};
use super::super::{Prediction, SchedulerConfig};
use crate::shape::Shape;

const TWO: Shape = Shape::new(1, 2, 1);
const MEAN: [f64; 2] = [0.3, -0.2];
/// Variances and what both share.
const COVARIANCE: [f64; 3] = [0.25, 0.16, 0.12];

/// `(a^2 C + s^2)`: variances and what both share.
fn covariance(a: f64, s: f64) -> [f64; 3] {
    let [xx, yy, xy] = COVARIANCE;
    [a * a * xx + s * s, a * a * yy + s * s, a * a * xy]
}

/// `M^-1 v`.
fn solve([xx, yy, xy]: [f64; 3], v: [f64; 2]) -> [f64; 2] {
    let det = xx * yy - xy * xy;
    [(yy * v[0] - xy * v[1]) / det, (xx * v[1] - xy * v[0]) / det]
}

/// What a perfect network answers, and the derivative of that along `v`.
fn answer(view: &Continuous, t: f64, x: &[f64], v: Option<&[f64]>) -> Vec<f64> {
    let (a, s) = (view.process.mean(t), view.process.std(t));
    // An EDM network is told the state times `input_scale`.
    let scale = view.input_scale(t);
    let out = |x: [f64; 2]| {
        let pull = solve(covariance(a, s), [x[0] - a * MEAN[0], x[1] - a * MEAN[1]]);
        // x0 = (x + s^2 score) / a
        [0, 1].map(|i| view.quantity.of_x0((x[i] - s * s * pull[i]) / a, x[i], a, s))
    };
    let at = [x[0] / scale, x[1] / scale];
    let y = out(at);
    let mut both = y.to_vec();
    if let Some(v) = v {
        // It is linear but for a constant.
        let moved = out([at[0] + v[0] / scale, at[1] + v[1] / scale]);
        both = vec![y[0], moved[0] - y[0], y[1], moved[1] - y[1]];
    }
    both
}

/// The time of what the network is told.
fn time_of(view: &Continuous, told: f64) -> f64 {
    match view.clock {
        Clock::Scaled(scale) => told / scale,
        Clock::Std => view.process.time_of_log_snr(-2.0 * told.ln()),
        Clock::QuarterLogStd => view.process.time_of_log_snr(-8.0 * told),
        Clock::Falling(_) => unreachable!(),
    }
}

fn run(program: &Program, view: &Continuous, x: [f64; 2], probe: Option<[f64; 2]>) -> Vec<f64> {
    let given = |name: &str, v: [f64; 2]| (program.find_register(name).unwrap(), v.to_vec());
    let registers = [given("x", x)].into_iter().chain(probe.map(|v| given("probe", v))).collect();
    let net = |call: NetCall<'_>| {
        let t = time_of(view, call.time);
        Ok(answer(view, t, call.inputs[0], call.inputs.get(1).copied()))
    };
    let inputs = Inputs { registers, slots: Vec::new() };
    program.interpret(&inputs, net, |_, _| unreachable!(), |_| ()).unwrap()
}

fn tight() -> SolverOptions {
    SolverOptions { rtol: Some(1e-6), atol: Some(1e-6), ..Default::default() }
}

/// score_sde's processes, EDM's, and chains, with every quantity.
fn all() -> Vec<SchedulerConfig> {
    let vp = Process::VpLinear { beta_min: 0.1, beta_max: 20.0 };
    let sub_vp = Process::SubVp { beta_min: 0.1, beta_max: 20.0 };
    let ve = Process::Ve { sigma_min: 0.01, sigma_max: 50.0 };
    let scaled = Clock::Scaled(999.0);
    let views = [
        (vp, Quantity::Eps, scaled, 1.0, 1e-3),
        (sub_vp, Quantity::Score, scaled, 1.0, 1e-3),
        (ve, Quantity::Score, Clock::Std, 1.0, 1e-5),
        (Process::Edm, Quantity::F(0.5), Clock::QuarterLogStd, 80.0, 0.002),
        (Process::VpCosine { offset: 0.008 }, Quantity::V, Clock::Scaled(1.0), 0.999, 1e-3),
    ];
    let continuous = views.map(|(process, quantity, clock, start, end)| SchedulerConfig {
        continuous: Some(Continuous {
            process,
            quantity,
            clock,
            start,
            end,
            scales: 1000,
            snr: 0.16,
            corrector_steps: 1,
            stds: None,
        }),
        ..Default::default()
    });
    let chain = |prediction_type| SchedulerConfig { prediction_type, ..Default::default() };
    continuous.into_iter().chain(Prediction::ALL.map(chain)).collect()
}

/// Where the flow begins near the image.
fn first(config: &SchedulerConfig) -> f64 {
    let view = Continuous::of(config).unwrap();
    match view.process {
        Process::VpLinear { .. } | Process::SubVp { .. } | Process::Ve { .. } => 1e-5,
        _ => view.end,
    }
}

/// The density of the model itself: the noise's is `N(0, prior^2)`, not quite that of the data's
/// process, so the flow's own density is that of the latent of a linear map.
fn exact(view: &Continuous, end: f64, x: [f64; 2]) -> f64 {
    let d = |t: f64| {
        let (a, s) = (view.process.mean(t), view.process.std(t));
        (a, covariance(a, s))
    };
    let det = |[xx, yy, xy]: [f64; 3]| xx * yy - xy * xy;
    let ((a, at_image), (b, at_noise)) = (d(end), d(view.start));
    let offset = [x[0] - a * MEAN[0], x[1] - a * MEAN[1]];
    // The flow keeps deviations along the eigenvectors, which all covariances share.
    let [xx, yy, xy] = COVARIANCE;
    let angle = 0.5 * (2.0 * xy).atan2(xx - yy);
    let (c, s) = (angle.cos(), angle.sin());
    let along = |m: [f64; 3], v: [f64; 2]| v[0] * v[0] * m[0] + v[1] * v[1] * m[1] + 2.0 * v[0] * v[1] * m[2];
    let mut latent = [b * MEAN[0], b * MEAN[1]];
    for axis in [[c, s], [-s, c]] {
        let scale = (along(at_noise, axis) / along(at_image, axis)).sqrt();
        let length = scale * (offset[0] * axis[0] + offset[1] * axis[1]);
        latent = [latent[0] + length * axis[0], latent[1] + length * axis[1]];
    }
    let prior = view.prior();
    let squares = (latent[0].powi(2) + latent[1].powi(2)) / (prior * prior);
    let jacobian = 0.5 * (det(at_noise) / det(at_image)).ln();
    -std::f64::consts::TAU.ln() - 2.0 * prior.ln() - 0.5 * squares + jacobian
}

#[test]
fn log_densities_of_a_gaussian() {
    for config in all() {
        let view = Continuous::of(&config).unwrap();
        let end = first(&config);
        for (options, steps, bound) in [
            (SolverOptions::default(), None, 1e-3),
            (tight(), None, 1e-4),
            (SolverOptions::default(), Some(600), 1e-3),
        ] {
            let context = Context { options, ..Context::new(&config, TWO, 1) };
            let program = Flow::Likelihood.program(&context, steps).unwrap();
            for x in [[0.3, -0.2], [0.9, 0.5], [-0.4, 0.1]] {
                // A probe of each sign: what both variables share cancels in the mean.
                let log = [[1.0, 1.0], [1.0, -1.0]].map(|v| run(&program, &view, x, Some(v))[0]);
                let bits = |nats: f64| nats / (2.0 * std::f64::consts::LN_2);
                let error = bits(0.5 * (log[0] + log[1])) - bits(exact(&view, end, x));
                assert!(error.abs() < bound, "{config:?} {steps:?} at {x:?}: {error} bits a dimension");
                assert!((log[0] - log[1]).abs() > 1e-2, "the probes see what both variables share");
            }
        }
    }
}

#[test]
fn an_image_is_its_latent_and_back() {
    for config in all() {
        let view = Continuous::of(&config).unwrap();
        let context = Context { options: tight(), ..Context::new(&config, TWO, 1) };
        let [encode, decode] = [Flow::Encode, Flow::Decode].map(|f| f.program(&context, None).unwrap());
        let x = [0.9, -0.5];
        let latent = run(&encode, &view, x, None);
        let again = run(&decode, &view, [latent[0], latent[1]], None);
        // The flow keeps the number of deviations, all in all.
        let distance = |t: f64, x: &[f64]| {
            let (a, s) = (view.process.mean(t), view.process.std(t));
            let v = [x[0] - a * MEAN[0], x[1] - a * MEAN[1]];
            let pull = solve(covariance(a, s), v);
            (v[0] * pull[0] + v[1] * pull[1]).sqrt()
        };
        let (near, far) = (distance(first(&config), &x), distance(view.start, &latent));
        assert!((near - far).abs() < 2e-4 * near, "{config:?}: {near} and {far}");
        for i in 0..2 {
            assert!((again[i] - x[i]).abs() < 1e-4, "{config:?}: {again:?} from {x:?}");
        }
    }
}

#[test]
fn refusals() {
    let config = SchedulerConfig::default();
    let class = Conditioning::Class { null: Some(0.0) };
    let guided = Context { conditioning: class, guidance_scale: 2.0, ..Context::new(&config, TWO, 1) };
    let error = Flow::Likelihood.program(&guided, None).unwrap_err().to_string();
    assert!(error.contains("guidance"), "{error}");
    assert!(Flow::Encode.program(&guided, None).is_ok());
    let plain = Context::new(&config, TWO, 1);
    assert!(Flow::Encode.program(&plain, Some(0)).is_err());
    let options = SolverOptions { rtol: Some(1e-3), ..Default::default() };
    let error = Flow::Encode.program(&Context { options, ..plain }, Some(10)).unwrap_err().to_string();
    assert!(error.contains("rtol"), "{error}");
}
