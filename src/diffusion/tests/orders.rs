//! Solvers on Gaussian data, x0 ~ N(MEAN, SD^2), whose flow and chains are known:
//! orders of convergence, moments of stochastic samplers, one answer under every
//! view of one model, and extreme numbers of steps.

use super::super::program::{Coef, Instruction, Program};
use super::super::sampler::{Context, Sampler};
use super::super::solver_config::{Algorithm, FinalSigma, SolverType};
use super::super::timesteps::Steps;
use super::super::{Prediction, SchedulerConfig, SolverConfig};
use crate::shape::Shape;

const MEAN: f64 = 0.3;
const SD: f64 = 0.5;
const ONE: Shape = Shape::new(1, 1, 1);

/// What a perfect network answers at `sigma`, its input being `alpha` times the image
/// and noise.
fn answer(prediction: Prediction, sigma: f64, x: f64, sd: f64) -> f64 {
    let alpha_bar = 1.0 / (sigma * sigma + 1.0);
    let (a, s) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
    let variance = alpha_bar * sd * sd + 1.0 - alpha_bar;
    let eps = s / variance * (x - a * MEAN);
    let x0 = MEAN + a * sd * sd / variance * (x - a * MEAN);
    prediction.target(alpha_bar, x0, eps)
}

/// Levels of equal steps in half the log-SNR, from -2 to 2.
fn levels(steps: usize) -> Vec<f64> {
    (0..=steps).map(|k| (2.0 - 4.0 * k as f64 / steps as f64).exp()).collect()
}

/// The levels of a program's evaluations, in order.
fn evaluated(sampler: Sampler, sigmas: &[f64]) -> Vec<f64> {
    let mut list = Vec::new();
    for pair in sigmas.windows(2) {
        list.push(pair[0]);
        match sampler {
            Sampler::Heun => list.push(pair[1]),
            Sampler::Dpm2 => list.push((pair[0] * pair[1]).sqrt()),
            Sampler::Dpm2A => list.push(pair[1]),
            _ => {}
        }
    }
    list
}

fn scale(program: &Program) -> f64 {
    match &program.steps[0].instructions[1] {
        Instruction::Mix { dst, terms, .. } if *dst == program.output && terms.len() == 1 => {
            match terms[0].coef {
                Coef::Const(c) => c,
                _ => 1.0,
            }
        }
        _ => 1.0,
    }
}

/// The end of a run from the noise `start` (before its scale).
fn run(
    sampler: Sampler,
    config: &SchedulerConfig,
    sigmas: &[f64],
    start: f64,
    noise: impl Fn(u32) -> f64,
) -> f64 {
    run_for(SD, sampler, config, sigmas, start, noise)
}

fn run_for(
    sd: f64,
    sampler: Sampler,
    config: &SchedulerConfig,
    sigmas: &[f64],
    start: f64,
    noise: impl Fn(u32) -> f64,
) -> f64 {
    let context = Context::new(config, ONE, Steps::Sigmas(sigmas.to_vec()));
    let program = sampler.program(&context).unwrap();
    let at = evaluated(sampler, sigmas);
    let mut call = 0;
    let net = |asked: super::super::program::NetCall<'_>| {
        call += 1;
        Ok(vec![answer(config.prediction_type, at[call - 1], asked.inputs[0][0], sd)])
    };
    let unscaled = start / scale(&program);
    let draw = |draw: u32, _| vec![if draw == 0 { unscaled } else { noise(draw) }];
    program.interpret(&Default::default(), net, draw, |_| ()).unwrap()[0]
}

/// Samplers whose state is `x0 + sigma eps`.
fn exploding(sampler: Sampler) -> bool {
    use Sampler::*;
    matches!(sampler, Euler | EulerA | Heun | Dpm2 | Dpm2A | Lms)
}

/// The error of the flow at the last level.
fn error(sd: f64, sampler: Sampler, config: &SchedulerConfig, steps: usize) -> f64 {
    let sigmas = levels(steps);
    let (first, last) = (sigmas[0], sigmas[steps]);
    let moments = |sigma: f64| {
        let a = if exploding(sampler) { 1.0 } else { 1.0 / sigma.hypot(1.0) };
        (a * MEAN, a * sd.hypot(sigma))
    };
    // The flow keeps the number of deviations from the mean.
    let deviations = 1.3;
    let start = moments(first).0 + deviations * moments(first).1;
    let want = moments(last).0 + deviations * moments(last).1;
    (run_for(sd, sampler, config, &sigmas, start, |_| 0.0) - want).abs()
}

fn config(solver: SolverConfig) -> SchedulerConfig {
    SchedulerConfig { clip_sample: false, prediction_type: Prediction::V, solver, ..Default::default() }
}

/// Orders measured between 192 and 384 steps.
#[test]
fn solvers_converge_with_their_orders() {
    let d = SolverConfig::default();
    let min = SolverConfig { final_sigmas_type: FinalSigma::SigmaMin, ..d.clone() };
    let order = |n| SolverConfig { solver_order: Some(n), ..min.clone() };
    let noise = |n| SolverConfig { algorithm_type: Some(Algorithm::Noise), ..order(n) };
    let heun = |n| SolverConfig { solver_type: Some(SolverType::Heun), ..order(n) };
    let bh1 =
        |n| SolverConfig { solver_type: Some(SolverType::Bh1), lower_order_final: Some(false), ..order(n) };
    let full = |n| SolverConfig { lower_order_final: Some(false), ..order(n) };
    let alone = |n| SolverConfig { disable_corrector: (0..1000).collect(), ..full(n) };
    use Sampler::*;
    // Multistep solvers begin with one step of order 1, whose error is h^2: they measure
    // 2 at most, whatever their order. So does LMS. UniPC corrects that step.
    let cases = [
        (Euler, d.clone(), 1.0),
        (Heun, d.clone(), 2.0),
        (Dpm2, d.clone(), 2.0),
        (Lms, d, 2.0),
        (DpmMultistep, order(1), 1.0),
        (DpmMultistep, order(2), 2.0),
        (DpmMultistep, heun(2), 2.0),
        (DpmMultistep, order(3), 2.0),
        (DpmMultistep, noise(1), 1.0),
        (DpmMultistep, noise(2), 2.0),
        (DpmMultistep, noise(3), 2.0),
        (DpmSinglestep, order(2), 2.0),
        (DpmSinglestep, heun(2), 2.0),
        (DpmSinglestep, order(3), 3.0),
        (DpmSinglestep, heun(3), 3.0),
        (DpmSinglestep, noise(2), 2.0),
        (DpmSinglestep, noise(3), 3.0),
        (Deis, order(1), 1.0),
        (Deis, order(2), 2.0),
        (Deis, order(3), 2.0),
        (UniPc, alone(1), 1.0),
        (UniPc, alone(2), 2.0),
        (UniPc, order(2), 2.0),
        (UniPc, full(2), 3.0),
        (UniPc, bh1(2), 3.0),
        (UniPc, full(3), 3.0),
    ];
    let mut failures = Vec::new();
    for (sampler, solver, theory) in cases {
        // Wide data, whose image follows the noise from the first step on: then the order
        // of the first step counts. Narrow data where that of the last one does.
        let sd = if theory == 2.0 && sampler == UniPc { SD } else { 4.0 };
        let config = config(solver);
        let errors = [192, 384].map(|steps| error(sd, sampler, &config, steps));
        let measured = (errors[0] / errors[1]).log2();
        if (measured - theory).abs() > 0.15 {
            let s = &config.solver;
            failures.push(format!(
                "{sampler:?} {:?} {:?}: {measured}, not {theory}: {errors:?}",
                s.solver_order, s.solver_type
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// With one image frozen over a step, the exact step of the reverse SDE is DDPM's
/// posterior: Euler ancestral and SDE-DPM-Solver++ of order 1 are one chain, in two scales.
#[test]
fn stochastic_samplers_have_the_moments_of_their_chain() {
    let solver = SolverConfig {
        solver_order: Some(1),
        algorithm_type: Some(Algorithm::DataSde),
        final_sigmas_type: FinalSigma::SigmaMin,
        ..Default::default()
    };
    let config = config(solver);
    let mut distances = Vec::new();
    for steps in [16, 32, 64, 128] {
        let sigmas = levels(steps);
        // Bayes in the scale x0 + sigma eps: the chain's state has the prior N(x0, s^2)
        // and is seen through x_t ~ N(x_s, t^2 - s^2).
        let (mut mean, mut variance) = (MEAN, SD * SD + sigmas[0] * sigmas[0]);
        for pair in sigmas.windows(2) {
            let (t2, s2) = (pair[0] * pair[0], pair[1] * pair[1]);
            let precision = 1.0 / s2 + 1.0 / (t2 - s2);
            let (of_x0, of_x) = (1.0 / s2 / precision, 1.0 / (t2 - s2) / precision);
            let gain = SD * SD / (SD * SD + t2);
            mean = of_x0 * (MEAN + gain * (mean - MEAN)) + of_x * mean;
            variance = (of_x0 * gain + of_x).powi(2) * variance + 1.0 / precision;
        }
        for sampler in [Sampler::EulerA, Sampler::DpmMultistep] {
            let last = sigmas[steps];
            let a = |sigma: f64| if exploding(sampler) { 1.0 } else { 1.0 / sigma.hypot(1.0) };
            let start = a(sigmas[0]) * MEAN;
            let end = |d: u32| run(sampler, &config, &sigmas, start, |draw| f64::from(draw == d)) / a(last);
            let center = end(u32::MAX);
            let shifted = run(sampler, &config, &sigmas, start + a(sigmas[0]), |_| 0.0) / a(last);
            let from_start = (shifted - center).powi(2) * (SD * SD + sigmas[0] * sigmas[0]);
            let got = from_start + (1..=steps as u32).map(|d| (end(d) - center).powi(2)).sum::<f64>();
            assert!((center - mean).abs() < 1e-10, "{sampler:?}: mean {center}, not {mean}");
            assert!((got - variance).abs() < 1e-10, "{sampler:?}: variance {got}, not {variance}");
        }
        distances.push((variance - SD * SD - sigmas[steps] * sigmas[steps]).abs());
    }
    // Weak order 1 towards the continuous reverse SDE.
    for pair in distances.windows(2).skip(1) {
        let order = (pair[0] / pair[1]).log2();
        assert!((order - 1.0).abs() < 0.15, "order {order}: {distances:?}");
    }
}

#[test]
fn every_view_of_one_model_gives_one_answer() {
    let solver = SolverConfig { final_sigmas_type: FinalSigma::SigmaMin, ..Default::default() };
    let mut compared = 0;
    for sampler in Sampler::all().filter(|s| !s.of_one_system() && !s.only_restores()) {
        use Sampler::*;
        let by_times = matches!(sampler, Ddpm | Ddim | DdimInverse | Pndm | Lcm | EdmEuler | EdmDpm | Dpm2A);
        if by_times || sampler.is_continuous() {
            continue;
        }
        let answers: Vec<f64> = Prediction::ALL
            .into_iter()
            .filter_map(|prediction_type| {
                let config = SchedulerConfig { prediction_type, ..config(solver.clone()) };
                let context = Context::new(&config, ONE, Steps::Sigmas(levels(12)));
                match sampler.program(&context) {
                    Err(e) => {
                        assert!(e.to_string().contains("prediction_type is sample"), "{sampler:?}: {e}");
                        None
                    }
                    Ok(_) => {
                        Some(run(sampler, &config, &levels(12), 1.1, |draw| (f64::from(draw) * 1.7).sin()))
                    }
                }
            })
            .collect();
        assert!(answers.len() >= 2, "{sampler:?}");
        compared += answers.len();
        for answer in &answers {
            assert!((answer - answers[0]).abs() < 1e-9, "{sampler:?}: {answers:?}");
        }
    }
    assert!(compared > 20);
}

/// A finite image or an error in words, never NaN.
#[test]
fn extreme_steps_are_finite_or_refused() {
    for sampler in Sampler::all().filter(|s| !s.of_one_system() && !s.only_restores()) {
        for steps in [1, 2, 3, 7, 333, 999, 1000] {
            let config = config(SolverConfig { skip_prk_steps: steps < 4, ..Default::default() });
            let context = Context::new(&config, ONE, steps);
            match sampler.program(&context) {
                Ok(p) => {
                    let net = |asked: super::super::program::NetCall<'_>| {
                        Ok(vec![(3.0 * asked.inputs[0][0]).sin()])
                    };
                    let noise = |draw: u32, _| vec![f64::from(draw).cos()];
                    let x = p.interpret(&Default::default(), net, noise, |_| ()).unwrap()[0];
                    assert!(x.is_finite() && x.abs() < 1e4, "{sampler:?} {steps}: {x}");
                }
                Err(e) => {
                    let text = e.to_string();
                    assert!(
                        steps > 40 && text.contains(&format!("steps = {steps}")),
                        "{sampler:?} {steps}: {text}"
                    );
                }
            }
        }
        let far =
            Context::new(&config(SolverConfig::default()), ONE, Steps::Sigmas(vec![1e3, 1.0, 1e-5])).steps;
        let cosine = config(SolverConfig::default());
        match sampler.program(&Context { steps: far, ..Context::new(&cosine, ONE, 1) }) {
            Ok(p) => assert!(p.nfe() >= 2),
            Err(e) => {
                assert!(["sigmas", "timesteps"].iter().any(|w| e.to_string().contains(w)), "{sampler:?}: {e}")
            }
        }
    }
}

#[test]
fn what_solvers_cannot_do_is_refused_in_words() {
    let refused = |text: &str, sampler: Sampler| {
        let config = SchedulerConfig::from_json(text).unwrap();
        sampler.program(&Context::new(&config, ONE, 6)).expect_err(text).to_string()
    };
    use Sampler::*;
    for (text, sampler, parts) in [
        (r#"{"use_flow_sigmas": true}"#, Dpmpp2m, ["use_flow_sigmas", "not supported"]),
        (r#"{"solver_order": 4}"#, DpmMultistep, ["solver_order is 4", "1, 2 or 3"]),
        (r#"{"algorithm_type": "dpmsolver"}"#, DpmMultistep, ["final_sigmas_type", "sigma_min"]),
        (r#"{"solver_p": {}}"#, UniPc, ["solver_p", "not supported"]),
        (r#"{"prediction_type": "sample"}"#, EulerA, ["prediction_type is sample", "another sampler"]),
        (r#"{"prediction_type": "sample"}"#, Pndm, ["prediction_type is sample", "another sampler"]),
        (r#"{"original_inference_steps": 4}"#, Lcm, ["steps = 6", "1 to 4"]),
        (
            r#"{"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}"#,
            DpmSinglestep,
            ["algorithm_type", "single-step"],
        ),
    ] {
        let message = refused(text, sampler);
        assert!(parts.iter().all(|p| message.contains(p)), "{message}");
    }
    for text in [
        r#"{"use_karras_sigmas": true, "use_beta_sigmas": true}"#,
        r#"{"algorithm_type": "x"}"#,
        r#"{"rho": 0}"#,
    ] {
        let field = text.split('"').nth(if text.contains("beta") { 3 } else { 1 }).unwrap();
        let message = SchedulerConfig::from_json(text).expect_err(text).to_string();
        assert!(message.contains(field), "{message}");
    }
    let config = SchedulerConfig::default();
    for sigmas in [vec![1.0], vec![1.0, 2.0], vec![1.0, 1.0], vec![f64::NAN, 0.0], vec![1.0, -1.0]] {
        let context = Context::new(&config, ONE, Steps::Sigmas(sigmas));
        let message = Euler.program(&context).expect_err("levels").to_string();
        assert!(message.contains("sigmas") && message.contains("strictly descending"), "{message}");
    }
    let context = Context { order: Some(2), ..Context::new(&config, ONE, 6) };
    assert!(Heun.program(&context).expect_err("order").to_string().contains("heun has no order"));
}

/// Every sampler's page begins with its source, and every name is its own.
#[test]
fn every_sampler_has_a_page_and_a_name() {
    for sampler in Sampler::all() {
        assert_eq!(sampler.name().parse::<Sampler>().unwrap(), sampler);
        let paper = sampler.paper();
        assert!(paper.contains("arXiv:") || paper.contains("k-diffusion"), "{paper}");
        assert!(!sampler.about().is_empty() && sampler.source().contains("pub fn program"));
    }
    let message = "nonsense".parse::<Sampler>().unwrap_err().to_string();
    assert!(Sampler::all().all(|s| message.contains(s.name())), "{message}");
}
