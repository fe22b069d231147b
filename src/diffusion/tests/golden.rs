//! The interpreter against whole sampling runs of diffusers on small networks:
//! every file of `tests/goldens/diffusers/*/samplers` (or of the folder that
//! `UNDIFFUSE_GOLDENS` names) whose states follow from stored outputs.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use super::super::program::Inputs;
use super::super::program::{Coef, Instruction, Program};
use super::super::sampler::{Churn, Context, ErrorControl, Sampler, SolverOptions};
use super::super::timesteps::Steps;
use super::super::SchedulerConfig;
use crate::shape::Shape;

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let data = tensors.tensor(name).unwrap().data();
    data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
}

/// Image `n` of a NCHW tensor, as NHWC.
fn image(tensors: &SafeTensors<'_>, name: &str, n: usize) -> Vec<f64> {
    let tensor = tensors.tensor(name).unwrap();
    let [_, c, h, w] = tensor.shape() else { panic!("{name} has no four dimensions") };
    let all = numbers(tensors, name);
    let at = |p: usize, k: usize| all[(n * c + k) * h * w + p];
    (0..h * w).flat_map(|p| (0..*c).map(move |k| (p, k))).map(|(p, k)| at(p, k)).collect()
}

/// By how much the program scales the initial noise: stored ones are scaled already.
fn initial_scale(program: &Program) -> f64 {
    match program.steps[0].instructions.get(1) {
        Some(Instruction::Mix { dst, terms, .. }) if *dst == program.output && terms.len() == 1 => {
            match terms[0].coef {
                Coef::Const(c) => c,
                _ => 1.0,
            }
        }
        _ => 1.0,
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .filter_map(|case| std::fs::read_dir(case.unwrap().path().join("samplers")).ok())
        .flat_map(|folder| folder.map(|f| f.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files
}

/// Largest errors, as parts of the scale: of states, and of the network's inputs.
fn compare(path: &Path) -> Result<(Sampler, f64), String> {
    // Python writes infinities, which JSON has not.
    let text =
        std::fs::read_to_string(path).unwrap().replace("-Infinity", "null").replace("Infinity", "1e300");
    let about: Value = serde_json::from_str(&text).unwrap();
    let bytes = std::fs::read(path.with_extension("safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let config = SchedulerConfig::from_json(&about["config"].to_string()).unwrap();
    let sampler = Sampler::from_class_name(about["scheduler"].as_str().unwrap()).unwrap();
    let kwargs = &about["step_kwargs"];
    let number = |key: &str, default: f64| kwargs[key].as_f64().unwrap_or(default);
    let churn = kwargs.get("s_churn").map(|_| Churn {
        s_churn: number("s_churn", 0.0),
        s_tmin: number("s_tmin", 0.0),
        s_tmax: number("s_tmax", f64::INFINITY),
        s_noise: number("s_noise", 1.0),
    });
    let list =
        |key: &str| about[key].as_array().map(|l| l.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
    let steps = match (list("timesteps"), list("sigmas")) {
        (Some(times), _) => Steps::At(times.into_iter().map(|t| t as usize).collect()),
        (_, Some(sigmas)) => Steps::Sigmas(sigmas),
        _ => Steps::Count(about["steps"].as_u64().unwrap() as usize),
    };
    let start = tensors.tensor("x_T").unwrap();
    let [n, c, h, w] = start.shape() else { panic!("x_T has no four dimensions") };
    let context = Context {
        out_channels: tensors.tensor("model_out00").unwrap().shape()[1],
        eta: kwargs["eta"].as_f64(),
        clipped_output: kwargs["use_clipped_model_output"].as_bool().unwrap_or(false),
        order: kwargs["order"].as_u64().map(|o| o as usize),
        churn,
        // Norms of correctors are those of the whole batch there.
        options: SolverOptions {
            error_control: if sampler == Sampler::Pc { ErrorControl::Batch } else { ErrorControl::PerImage },
            ..Default::default()
        },
        single: true,
        ..Context::new(&config, Shape::new(*h, *w, *c), steps)
    };
    let program = sampler.program(&context).map_err(|e| e.to_string())?;
    let times = numbers(&tensors, "timesteps");
    if program.nfe() != times.len() {
        return Err(format!("{} evaluations, not {}", program.nfe(), times.len()));
    }
    let scale = initial_scale(&program);
    let mut worst: f64 = 0.0;
    let images = vec![Inputs::default(); *n];
    let mut inputs = vec![Vec::new(); *n];
    let mut states = vec![Vec::new(); *n];
    let mut used = vec![0; *n];
    program
        .interpret_batch(
            &images,
            |n, asked| {
                let call = inputs[n].len();
                let told = times[call];
                if (asked.time - told).abs() > 2e-3 * told.abs().max(1.0) {
                    return Err(format!("call {call} is told t = {}, not {told}", asked.time).into());
                }
                inputs[n].push(asked.inputs[0].to_vec());
                Ok(image(&tensors, &format!("model_out{call:02}"), n))
            },
            |n, draw, _| match draw {
                0 => image(&tensors, "x_T", n).into_iter().map(|v| v / scale).collect(),
                _ => {
                    used[n] += 1;
                    image(&tensors, &format!("noise{:02}", used[n] - 1), n)
                }
            },
            |n, after| states[n].push(after.registers[program.output.0 as usize].clone()),
        )
        .map_err(|e| e.to_string())?;
    for n in 0..*n {
        let mut check = |name: String, got: &[f64]| {
            let want = image(&tensors, &name, n);
            let size = want.iter().fold(1.0, |a: f64, v| a.max(v.abs()));
            let error = got.iter().zip(&want).fold(0.0, |e: f64, (a, b)| e.max((a - b).abs())) / size;
            worst = worst.max(error);
            match error < 1e-4 {
                true => Ok(()),
                false => Err(format!("{name} of image {n} is off by {error:.1e}")),
            }
        };
        for (k, (input, state)) in inputs[n].iter().zip(&states[n]).enumerate() {
            check(format!("model_in{k:02}"), input)?;
            check(format!("state{k:02}"), state)?;
        }
    }
    Ok((sampler, worst))
}

#[test]
fn stored_runs_of_small_networks() {
    let root = std::env::var_os("UNDIFFUSE_GOLDENS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens"), PathBuf::from);
    let files = files(&root.join("diffusers"));
    assert!(!files.is_empty(), "no runs in {}", root.display());
    let mut failures = Vec::new();
    for path in files {
        match compare(&path) {
            Ok((sampler, worst)) => println!("{} {}: {worst:.1e} of scale", sampler.name(), path.display()),
            Err(why) => failures.push(format!("{}: {why}", path.display())),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
