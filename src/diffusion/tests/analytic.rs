//! Against closed solutions: a network that is perfect for Gaussian data, x0 ~
//! N(MEAN, SD^2), for which all that samplers do is linear.

use super::super::sampler::{Context, Sampler};
use super::super::schedule::BetaSchedule;
use super::super::scheduler_config::VarianceType;
use super::super::timesteps::{timesteps, Spacing};
use super::super::{Prediction, Schedule, SchedulerConfig};
use crate::shape::Shape;

const MEAN: f64 = 0.3;
const SD: f64 = 0.5;
const ONE: Shape = Shape::new(1, 1, 1);

fn config(prediction_type: Prediction) -> SchedulerConfig {
    SchedulerConfig { prediction_type, clip_sample: false, ..Default::default() }
}

/// E[x0 | x_t] and E[eps | x_t].
fn perfect(alpha_bar: f64, x: f64) -> (f64, f64) {
    let variance = alpha_bar * SD * SD + 1.0 - alpha_bar;
    let x0 = MEAN + alpha_bar.sqrt() * SD * SD / variance * (x - alpha_bar.sqrt() * MEAN);
    (x0, (1.0 - alpha_bar).sqrt() / variance * (x - alpha_bar.sqrt() * MEAN))
}

/// Runs one number through a sampler with the perfect network.
fn run(sampler: Sampler, context: &Context<'_>, noise: impl Fn(u32) -> f64) -> f64 {
    let schedule = Schedule::new(context.config).unwrap();
    let net = |t: f64, x: f64| {
        let alpha_bar = schedule.alpha_bar()[t as usize];
        let (x0, eps) = perfect(alpha_bar, x);
        context.config.prediction_type.target(alpha_bar, x0, eps)
    };
    let program = sampler.program(context).unwrap();
    let image = program.interpret(
        &Default::default(),
        |call| Ok(vec![net(call.time, call.inputs[0][0])]),
        |draw, _| vec![noise(draw)],
        |_| (),
    );
    image.unwrap()[0]
}

#[test]
fn epsilon_v_and_x0_views_of_one_model_give_one_answer() {
    for beta_schedule in BetaSchedule::ALL {
        for (sampler, eta) in [(Sampler::Ddpm, None), (Sampler::Ddim, None), (Sampler::Ddim, Some(0.7))] {
            let answers = Prediction::ALL.map(|prediction| {
                let config = SchedulerConfig { beta_schedule, ..config(prediction) };
                let context = Context { eta, ..Context::new(&config, ONE, 30) };
                run(sampler, &context, |draw| (f64::from(draw) * 1.7).sin())
            });
            for answer in answers {
                assert!((answer - answers[0]).abs() < 1e-9, "{sampler:?} {beta_schedule:?}: {answers:?}");
            }
        }
    }
}

/// The probability flow of Gaussian data keeps the number of standard deviations
/// from the mean.
#[test]
fn ddim_converges_to_the_exact_flow_with_order_one() {
    let config = SchedulerConfig { timestep_spacing: Spacing::Trailing, ..config(Prediction::V) };
    let alpha_bar = *Schedule::new(&config).unwrap().alpha_bar().last().unwrap();
    let x = 1.3;
    let deviations = (x - alpha_bar.sqrt() * MEAN) / (alpha_bar * SD * SD + 1.0 - alpha_bar).sqrt();
    let exact = MEAN + SD * deviations;
    let error = |steps: usize| (run(Sampler::Ddim, &Context::new(&config, ONE, steps), |_| x) - exact).abs();
    let errors = [25, 50, 100, 200].map(error);
    for pair in errors.windows(2) {
        let order = (pair[0] / pair[1]).log2();
        assert!((0.8..1.2).contains(&order), "order {order}, errors {errors:?}");
    }
    assert!(errors[3] < 0.01, "{errors:?}");
}

/// The chain is linear, so its mean and variance follow from unit noises.
fn moments(sampler: Sampler, context: &Context<'_>, draws: u32) -> (f64, f64) {
    let mean = run(sampler, context, |_| 0.0);
    let part = |d: u32| run(sampler, context, |draw| f64::from(draw == d)) - mean;
    (mean, (0..draws).map(|d| part(d).powi(2)).sum())
}

#[test]
fn ddpm_has_the_mean_and_variance_of_its_closed_recursion() {
    for (variance_type, large) in [(VarianceType::FixedSmall, false), (VarianceType::FixedLarge, true)] {
        let config = SchedulerConfig { variance_type, ..config(Prediction::Epsilon) };
        let bar = Schedule::new(&config).unwrap();
        let times = timesteps(&config, &20.into()).unwrap();
        let (mut mean, mut variance) = (0.0, 1.0);
        for (i, &t) in times.iter().enumerate() {
            let at = bar.alpha_bar()[t];
            let (x0, x0_unit) = (perfect(at, 0.0).0, perfect(at, 1.0).0 - perfect(at, 0.0).0);
            let Some(&s) = times.get(i + 1) else {
                (mean, variance) = (x0 + x0_unit * mean, x0_unit * x0_unit * variance);
                break;
            };
            // Bayes: x_s has the prior N(sqrt(bar_s) x0, 1 - bar_s) and is seen
            // through x_t ~ N(sqrt(alpha) x_s, 1 - alpha).
            let bar_s = bar.alpha_bar()[s];
            let alpha = at / bar_s;
            let precision = 1.0 / (1.0 - bar_s) + alpha / (1.0 - alpha);
            let (of_x0, of_x) =
                (bar_s.sqrt() / (1.0 - bar_s) / precision, alpha.sqrt() / (1.0 - alpha) / precision);
            mean = of_x0 * (x0 + x0_unit * mean) + of_x * mean;
            let added = if large { 1.0 - alpha } else { 1.0 / precision };
            variance = (of_x0 * x0_unit + of_x).powi(2) * variance + added;
        }
        let got = moments(Sampler::Ddpm, &Context::new(&config, ONE, 20), 21);
        assert!(
            (got.0 - mean).abs() < 1e-10 && (got.1 - variance).abs() < 1e-10,
            "{got:?} {mean} {variance}"
        );
    }
}

#[test]
fn many_stochastic_steps_reach_the_data() {
    let config = config(Prediction::V);
    for (sampler, eta) in [(Sampler::Ddpm, None), (Sampler::Ddim, Some(1.0))] {
        let context = Context { eta, ..Context::new(&config, ONE, 250) };
        let (mean, variance) = moments(sampler, &context, 251);
        assert!((mean - MEAN).abs() < 0.01, "{sampler:?}: mean {mean}");
        assert!((variance.sqrt() / SD - 1.0).abs() < 0.03, "{sampler:?}: deviation {}", variance.sqrt());
    }
}

#[test]
fn extreme_numbers_of_steps_are_finite() {
    for beta_schedule in BetaSchedule::ALL {
        for prediction in Prediction::ALL {
            for timestep_spacing in Spacing::ALL {
                let config = SchedulerConfig { beta_schedule, timestep_spacing, ..config(prediction) };
                for (sampler, eta) in
                    [(Sampler::Ddpm, None), (Sampler::Ddim, None), (Sampler::Ddim, Some(1.0))]
                {
                    for steps in [1, 7, 1000] {
                        let context = Context { eta, ..Context::new(&config, ONE, steps) };
                        let x = run(sampler, &context, |draw| (f64::from(draw) * 2.3).cos());
                        assert!(x.is_finite() && x.abs() < 50.0, "{sampler:?} {config:?} {steps}: {x}");
                    }
                }
            }
        }
    }
}

/// Noise levels that fall by twelve orders of magnitude, repeat, or reach the
/// ends: a validated program (all numbers finite) or an error that says why.
#[test]
fn extreme_betas_are_finite_or_refused() {
    let levels = [0.0, 1e-300, 1e-16, 1e-12, 1e-3, 0.5, 1.0 - 1e-12, 1.0 - 1e-16, 1.0];
    let mut refused = 0;
    let mut built = 0;
    for i in 0..levels.len().pow(3) {
        let pick = |k: u32| levels[i / levels.len().pow(k) % levels.len()];
        let trained_betas = Some(vec![pick(0), pick(1), pick(2)]);
        for prediction in Prediction::ALL {
            for variance_type in [VarianceType::FixedSmall, VarianceType::LearnedRange] {
                let config = SchedulerConfig {
                    trained_betas: trained_betas.clone(),
                    num_train_timesteps: 3,
                    variance_type,
                    ..config(prediction)
                };
                for (sampler, eta) in
                    [(Sampler::Ddpm, None), (Sampler::Ddim, None), (Sampler::Ddim, Some(1.0))]
                {
                    let context = Context { eta, out_channels: 2, ..Context::new(&config, ONE, 3) };
                    match sampler.program(&context) {
                        Ok(_) => built += 1,
                        Err(e) => {
                            refused += 1;
                            assert!(e.to_string().contains("alpha_bar is 0"), "{e} {trained_betas:?}");
                        }
                    }
                }
            }
        }
    }
    assert!(refused > 0 && built > refused, "{built} built, {refused} refused");
}
