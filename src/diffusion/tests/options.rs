//! Options and configurations that are refused, and what guidance does.

use super::super::guidance::Conditioning;
use super::super::program::Inputs;
use super::super::sampler::{Context, Sampler};
use super::super::timesteps::Steps;
use super::super::{Error, Prediction, SchedulerConfig, Spread};
use super::programs::SHAPE;
use crate::shape::Shape;

#[test]
fn guidance_acts_on_the_output_of_the_network() {
    let config = SchedulerConfig { prediction_type: Prediction::V, clip_sample: false, ..Default::default() };
    let class = Conditioning::Class { null: Some(10.0) };
    let run = |conditioning, guidance_scale| {
        let context = Context { conditioning, guidance_scale, ..Context::new(&config, SHAPE, 5) };
        let p = Sampler::Ddim.program(&context).unwrap();
        let slots = p.find_slot("class").map(|s| (s, 3.0)).into_iter().collect();
        let inputs = Inputs { registers: vec![], slots };
        let mut labels = vec![];
        let image = p.interpret(
            &inputs,
            |call| {
                labels.push(call.label);
                Ok(call.inputs[0].iter().map(|x| 0.1 * x * call.label.unwrap_or(0.0)).collect())
            },
            |_, shape| vec![0.7; shape.len()],
            |_| (),
        );
        (image.unwrap(), labels, p.nfe())
    };
    let (one, labels, nfe) = run(class, 1.0);
    assert_eq!((labels, nfe), (vec![Some(3.0); 5], 5));
    assert_eq!(run(class, 0.0).1, vec![Some(10.0); 5]);
    let (two, labels, nfe) = run(class, 2.0);
    assert_eq!((&labels[..2], nfe), (&[Some(3.0), Some(10.0)][..], 10));
    assert_ne!(one, two);
    // 10 + 2 (3 - 10) = -4: the network is linear in its label here.
    let p = Sampler::Ddim.program(&Context::new(&config, SHAPE, 5)).unwrap();
    let minus_four = p.interpret(
        &Default::default(),
        |call| Ok(call.inputs[0].iter().map(|x| -0.4 * x).collect()),
        |_, shape| vec![0.7; shape.len()],
        |_| (),
    );
    for (a, b) in two.iter().zip(minus_four.unwrap()) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn options_that_cannot_be_are_refused_in_words() {
    let config = SchedulerConfig::default();
    let base = Context::new(&config, SHAPE, 10);
    let class = |null| Conditioning::Class { null };
    let cases = [
        (Sampler::Ddim, Context { eta: Some(1.01), ..base.clone() }, "eta = 1.01"),
        (Sampler::Ddim, Context { eta: Some(-0.1), ..base.clone() }, "eta = -0.1"),
        (Sampler::Ddim, Context { eta: Some(f64::NAN), ..base.clone() }, "eta = NaN"),
        (Sampler::Ddpm, Context { eta: Some(0.0), ..base.clone() }, "ddpm has no eta"),
        (Sampler::Ddim, Context { guidance_scale: 2.0, ..base.clone() }, "no classes"),
        (
            Sampler::Ddim,
            Context { guidance_scale: 2.0, conditioning: class(None), ..base.clone() },
            "no label",
        ),
        (
            Sampler::Ddim,
            Context { guidance_scale: f64::NAN, conditioning: class(Some(0.0)), ..base.clone() },
            "finite",
        ),
        (Sampler::Ddim, Context { out_channels: 3, ..base.clone() }, "out_channels = 3"),
        (Sampler::Ddim, Context { shape: Shape::new(0, 1, 1), ..base.clone() }, "at least one number"),
    ];
    for (sampler, context, needle) in cases {
        let message = sampler.program(&context).expect_err(needle).to_string();
        assert!(message.contains(needle), "{message}");
    }
    for (text, needle) in [
        (r#"{"variance_type": "learned"}"#, "needs 2 output channels"),
        (
            r#"{"rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#,
            "predicts epsilon cannot start",
        ),
    ] {
        let config = SchedulerConfig::from_json(text).unwrap();
        let message = Sampler::Ddpm.program(&Context::new(&config, SHAPE, 10)).expect_err(needle).to_string();
        assert!(message.contains(needle), "{message}");
    }
    assert!("ddpm2"
        .parse::<Sampler>()
        .expect_err("")
        .to_string()
        .contains("ddpm, ddim, ddim_inverse, euler"));
}

#[test]
fn configurations_that_cannot_be_are_refused_in_words() {
    for (text, parts) in [
        (r#"{"beta_schedule": "cosine"}"#, ["beta_schedule", "\"cosine\"", "squaredcos_cap_v2, sigmoid"]),
        (r#"{"prediction_type": "flow"}"#, ["prediction_type", "flow", "epsilon, sample, v_prediction"]),
        (r#"{"timestep_spacing": 3}"#, ["timestep_spacing", "3", "linspace, leading, trailing"]),
        (r#"{"variance_type": "big"}"#, ["variance_type", "big", "fixed_small_log"]),
        (r#"{"num_train_timesteps": 0}"#, ["num_train_timesteps", "0", "1 to 100000"]),
        (r#"{"num_train_timesteps": 1e3}"#, ["num_train_timesteps", "1000.0", "whole"]),
        (r#"{"num_train_timesteps": 4000000000000}"#, ["num_train_timesteps", "4000000000000", "100000"]),
        (r#"{"num_train_timesteps": "many"}"#, ["num_train_timesteps", "many", "whole number"]),
        (r#"{"beta_start": -0.1}"#, ["beta_start", "-0.1", "[0, 1]"]),
        (r#"{"beta_end": 1.5}"#, ["beta_end", "1.5", "[0, 1]"]),
        (r#"{"beta_end": null}"#, ["beta_end", "null", "number"]),
        (r#"{"beta_end": NaN}"#, ["JSON", "line 1", "column"]),
        (r#"{"clip_sample": "yes"}"#, ["clip_sample", "yes", "true or false"]),
        (r#"{"clip_sample_range": 0}"#, ["clip_sample_range", "0", "positive"]),
        (r#"{"sample_max_value": -1}"#, ["sample_max_value", "-1", "positive"]),
        (r#"{"dynamic_thresholding_ratio": 2}"#, ["dynamic_thresholding_ratio", "2", "[0, 1]"]),
        (r#"{"steps_offset": -1}"#, ["steps_offset", "-1", "not negative"]),
        (r#"{"steps_offset": 1000}"#, ["steps_offset", "1000", "less than"]),
        (r#"{"trained_betas": [0.1, 0.2]}"#, ["trained_betas", "2 betas", "1000"]),
        (
            r#"{"trained_betas": [0.1, 2], "num_train_timesteps": 2}"#,
            ["trained_betas", "2 at t = 1", "[0, 1]"],
        ),
        (r#"{"trained_betas": 7}"#, ["trained_betas", "7", "list"]),
        (r#"[1]"#, ["JSON", "object", ""]),
    ] {
        let message = SchedulerConfig::from_json(text).expect_err(text).to_string();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
    let nan = SchedulerConfig { beta_end: f64::NAN, ..Default::default() };
    assert!(matches!(nan.check(), Err(Error::Config { field: "beta_end", .. })));
    let flat = SchedulerConfig {
        beta_end: 0.0,
        beta_start: 0.0,
        rescale_betas_zero_snr: true,
        ..Default::default()
    };
    assert!(super::super::Schedule::new(&flat).is_err());
    let other = r#"{"_class_name": "PNDMScheduler", "skip_prk_steps": true, "clip_sample": null, "trained_betas": null}"#;
    assert!(!SchedulerConfig::from_json(other).unwrap().clip_sample);
}

/// Every sampler that cannot be told where to step says so, and none takes a list for a number.
#[test]
fn lists_and_grids_are_followed_or_refused() {
    let config = SchedulerConfig { clip_sample: false, ..Default::default() };
    for sampler in Sampler::all().filter(|s| !s.of_one_system() && !s.only_restores()) {
        for steps in [Steps::At(vec![900, 100]), Steps::Sigmas(vec![3.0, 0.5])] {
            let made = sampler.program(&Context::new(&config, SHAPE, steps.clone()));
            match (sampler.takes_lists(), made) {
                (false, Ok(_)) => panic!("{} takes {steps:?} for something else", sampler.name()),
                (false, Err(e)) => assert!(e.to_string().contains("give"), "{e}"),
                // Of the two kinds of list a sampler may take one; it is told in two evaluations at most.
                (true, Ok(p)) => assert!(p.steps.len() <= 3, "{}: {}", sampler.name(), p.steps.len()),
                (true, Err(e)) => assert!(e.to_string().contains("give"), "{}: {e}", sampler.name()),
            }
        }
    }
    for sampler in Sampler::all().filter(|s| s.of_one_system() || s.is_continuous()) {
        assert!(Spread::ALL.into_iter().all(|grid| !sampler.follows(grid)), "{}", sampler.name());
    }
}
