//! Against `tests/data/schedules/diffusers.json`; its `make.py` says how it is made.

use serde_json::Value;

use super::super::sampler::{Context, Sampler};
use super::super::timesteps::{timesteps, Steps};
use super::super::{Schedule, SchedulerConfig, SolverConfig};
use crate::shape::Shape;

const SHAPE: Shape = Shape::new(3, 2, 2);

fn data() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/schedules/diffusers.json")).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|v| v.as_f64().unwrap()).collect()
}

fn config(value: &Value) -> SchedulerConfig {
    SchedulerConfig::from_json(&value.to_string()).unwrap()
}

#[test]
fn defaults_are_those_of_both_scheduler_classes() {
    for class in ["ddpm", "ddim"] {
        // What the file chose is kept for other samplers, whose defaults differ.
        let solver = SolverConfig::default();
        let read = SchedulerConfig { solver, ..config(&data()["defaults"][class]) };
        assert_eq!(read, SchedulerConfig::default(), "{class}");
    }
}

#[test]
fn schedules_match_at_five_times() {
    for case in list(&data()["schedules"]) {
        let schedule = Schedule::new(&config(&case["config"])).unwrap();
        for (i, t) in numbers(&case["at"]).into_iter().enumerate() {
            let t = t as usize;
            for (name, got, want) in [
                ("beta", schedule.betas()[t], case["beta"][i].as_f64().unwrap()),
                ("alpha_bar", schedule.alpha_bar()[t], case["alpha_bar"][i].as_f64().unwrap()),
            ] {
                let close = (got - want).abs() <= 1e-12 + 1e-9 * want.abs();
                assert!(close, "{name}[{t}] of {}: {got} is not {want}", case["config"]);
            }
        }
        let falls = schedule.alpha_bar().windows(2).all(|w| w[0] >= w[1]);
        assert!(falls && schedule.alpha_bar().iter().all(|a| (0.0..=1.0).contains(a)), "{}", case["config"]);
    }
}

/// Every number of steps, in every spacing, down to where the offset leaves T.
#[test]
fn timesteps_match_for_every_number_of_steps() {
    for case in list(&data()["timesteps"]) {
        let config = config(&case["config"]);
        let seven: Vec<f64> = timesteps(&config, &7.into()).unwrap().into_iter().map(|t| t as f64).collect();
        assert_eq!(seven, numbers(&case["times"]), "{}", case["config"]);
        for (i, want) in numbers(&case["sums"]).into_iter().enumerate() {
            match timesteps(&config, &(i + 1).into()) {
                Ok(times) => {
                    let sum: usize = times.iter().enumerate().map(|(k, t)| (k + 1) * t).sum();
                    assert_eq!(sum as f64, want, "{} steps, {}", i + 1, case["config"]);
                }
                Err(e) => {
                    assert_eq!(config.steps_offset, 1, "{e}");
                    assert!(e.to_string().contains("steps_offset"), "{e}");
                }
            }
        }
    }
}

#[test]
fn steps_out_of_range_are_refused() {
    let config = SchedulerConfig::default();
    for steps in [0, 1001, usize::MAX] {
        let e = timesteps(&config, &steps.into()).unwrap_err().to_string();
        assert!(e.contains(&steps.to_string()) && e.contains("1 to 1000"), "{e}");
    }
    for times in [vec![], vec![1000], vec![5, 5], vec![3, 4]] {
        assert!(timesteps(&config, &Steps::At(times)).is_err());
    }
}

#[test]
fn samplers_match_every_combination_of_options() {
    let data = data();
    let pool = &data["pool"];
    let (outs, noises) = (list(&pool["out"]), list(&pool["noise"]));
    let mut worst: f64 = 0.0;
    for case in list(&data["cases"]) {
        let config = config(&case["config"]);
        let sampler: Sampler = case["sampler"].as_str().unwrap().parse().unwrap();
        let times: Vec<usize> = numbers(&case["timesteps"]).into_iter().map(|t| t as usize).collect();
        let steps = match case["steps"].as_u64() {
            Some(count) => Steps::Count(count as usize),
            None => Steps::At(times.clone()),
        };
        let eta = (sampler == Sampler::Ddim).then(|| case["eta"].as_f64().unwrap());
        let learned = config.variance_type.is_learned();
        let out_channels = if learned { 2 * SHAPE.c } else { SHAPE.c };
        let program =
            sampler.program(&Context { eta, out_channels, ..Context::new(&config, SHAPE, steps) }).unwrap();
        assert_eq!(program.nfe(), times.len());

        let mut step = 0;
        let mut states = Vec::new();
        let result = program.interpret(
            &Default::default(),
            |call| {
                assert_eq!(call.time, times[step] as f64, "{case}");
                let out = numbers(&outs[step]);
                step += 1;
                Ok(out.chunks(4).flat_map(|pixel| &pixel[..out_channels]).copied().collect())
            },
            |draw, _| match draw {
                0 => numbers(&pool["x_T"]),
                k => numbers(&noises[k as usize - 1]),
            },
            |after| states.push(after.registers[program.output.0 as usize].clone()),
        );
        assert_eq!(&result.unwrap(), states.last().unwrap());
        for (k, want) in list(&case["states"]).iter().enumerate() {
            let want = numbers(want);
            let scale = want.iter().fold(1e-3, |a: f64, v| a.max(v.abs()));
            for (got, want) in states[k].iter().zip(&want) {
                let error = (got - want).abs() / scale;
                worst = worst.max(error);
                assert!(error < 1e-8, "step {k}: {got} is not {want} in {case}\n{program}");
            }
        }
    }
    assert!(worst > 0.0, "nothing was compared");
}
