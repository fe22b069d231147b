//! Cases of the layout `<system>/<case>`: `config.json`, `model.safetensors`, `io.safetensors` and
//! `sampler*.safetensors` with `sampler.json`, for the systems that come from score_sde.

use super::diffusers::{array, difference, Array, Result, NETWORK};
use super::drive::{ended, open, Drive, Worst};
use super::{entries, name, Outcome};
use std::path::Path;
use undiffuse::diffusion::sampler::{ddgan::posterior, Sampler};
use undiffuse::diffusion::System;
use undiffuse::engine::evaluate;
use undiffuse::gpu::Gpu;
use undiffuse::graph::{passes, Graph};
use undiffuse::models::{self, Part};
use undiffuse::weights::{Json, Safetensors, Weights};

/// The network, and what draws with it.
pub fn units(case: &Path) -> Vec<String> {
    let mut units = Vec::new();
    if case.join("io.safetensors").is_file() {
        units.push("network".to_string());
    }
    let samplers = entries(case, Some("safetensors")).into_iter().map(|p| name(&p));
    units.extend(samplers.filter(|n| n.starts_with("sampler")));
    units
}

pub fn run(gpu: &Gpu, system: &str, case: &Path, unit: &str) -> Outcome {
    let result = match (system, unit) {
        ("lsgm", "network") => lsgm(gpu, case),
        (_, "network") => network(gpu, case),
        ("ddgan", _) => ddgan(gpu, case, unit),
        ("cld_sgm", _) => cld(gpu, case, unit),
        ("lsgm", _) => latent(gpu, case, unit),
        ("score_sde", _) => super::score_sde::run(gpu, case, unit),
        _ => return Outcome::Skipped(format!("the samplers of {system} are not supported yet")),
    };
    result.unwrap_or_else(|e| Outcome::Failed(e.to_string()))
}

/// The network with every intermediate that the case has.
fn network(gpu: &Gpu, case: &Path) -> Result<Outcome> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let (model, weights) = open(case)?;
    let mut graph = Graph::new();
    model.build(&weights, &mut graph)?;
    let names = io.names();
    // What the engine calls the inputs, and what the systems do.
    let called = [("sample", vec!["x"]), ("timestep", vec!["labels", "t"]), ("z", vec!["z"])];
    let mut given = Vec::new();
    for (input, _) in graph.inputs() {
        // The reference joins data and velocities.
        if let (Some(half), true) =
            (["sample", "velocity"].iter().position(|n| n == input), names.iter().any(|n| n == "u"))
        {
            given.push((input.clone(), half_of(array(&io, "u")?, half)));
            continue;
        }
        let (_, keys) = called.iter().find(|(n, _)| n == input).ok_or("an input that no case has")?;
        let key = keys.iter().find(|k| names.iter().any(|n| n == *k)).ok_or(format!("no `{input}`"))?;
        given.push((input.clone(), array(&io, key)?));
    }
    let acts = names.iter().filter_map(|n| n.strip_prefix("act."));
    let wanted: Vec<(&str, String)> = std::iter::once(("output", "output".to_string()))
        .chain(acts.map(|n| (n, format!("act.{n}"))))
        .collect();
    compare(gpu, &io, &graph, &given, &wanted)
}

/// Evaluates and compares: `wanted` are names in the graph and in the file.
fn compare(
    gpu: &Gpu,
    io: &Safetensors,
    graph: &Graph,
    given: &[(String, Array)],
    wanted: &[(&str, String)],
) -> Result<Outcome> {
    let known = |k: &str| graph.taps().iter().chain(graph.outputs()).any(|(n, _)| n == k);
    if let Some((k, _)) = wanted.iter().find(|(k, _)| !known(k)) {
        return Err(format!("no intermediate `{k}`").into());
    }
    let n = given.iter().map(|(_, a)| a.n).max().unwrap_or(1);
    let inputs: Vec<(&str, Vec<f32>)> = given
        .iter()
        .map(|(name, a)| (name.as_str(), if a.n == 1 { a.values.repeat(n) } else { a.values.clone() }))
        .collect();
    let inputs: Vec<(&str, &[f32])> = inputs.iter().map(|(name, v)| (*name, &v[..])).collect();
    let keys: Vec<&str> = wanted.iter().map(|(k, _)| *k).collect();
    let got = evaluate(gpu, &passes::run(graph), n, &inputs, &keys)?;
    let mut worst = 0f64;
    for ((_, key), got) in wanted.iter().zip(&got) {
        let want = array(io, key)?;
        // What is the same for all images is stored once, and large outputs of the first alone.
        let error =
            difference(&got[..got.len() * want.n / n], &want.values).map_err(|e| format!("{key}: {e}"))?;
        if error > NETWORK {
            return Err(format!("{key} is off by {error:.2e} of its scale").into());
        }
        worst = worst.max(error);
    }
    Ok(Outcome::Passed(worst))
}

/// LSGM's prior at each time, its decoder, and its encoder.
fn lsgm(gpu: &Gpu, case: &Path) -> Result<Outcome> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let (model, weights) = open(case)?;
    let names = io.names();
    let has = |key: &str| names.iter().any(|n| n == key);
    let mut worst = 0f64;
    let mut check = |key: &str, got: &[f32], want: &[f32]| -> Result<()> {
        let error = difference(got, want).map_err(|e| format!("{key}: {e}"))?;
        worst = worst.max(error);
        match error > NETWORK {
            true => Err(format!("{key} is off by {error:.2e} of its scale").into()),
            false => Ok(()),
        }
    };

    let mut prior = Graph::new();
    model.build(&weights, &mut prior)?;
    let x = array(&io, "x")?;
    let last = prior.taps().last().ok_or("no taps")?.0.clone();
    let acts = |of: &str| -> Vec<(String, String)> {
        let mine = names.iter().filter_map(|n| n.strip_prefix("act."));
        mine.filter(|n| n.starts_with(of)).map(|n| (n.to_string(), format!("act.{n}"))).collect()
    };
    for j in (0..).take_while(|j| has(&format!("t_{j}"))) {
        let (t, var) = (array(&io, &format!("t_{j}"))?.values, array(&io, &format!("var_{j}"))?.values);
        let times = vec![t[0]; x.n];
        let mut wanted = vec![("output".to_string(), String::new()), (last.clone(), format!("dae_out_{j}"))];
        if j == 0 {
            wanted.extend(acts("dae."));
        }
        let keys: Vec<&str> = wanted.iter().map(|(k, _)| k.as_str()).collect();
        let inputs = [("sample", &x.values[..]), ("timestep", &times[..])];
        let got = evaluate(gpu, &passes::run(&prior), x.n, &inputs, &keys)?;
        for ((_, key), got) in wanted.iter().zip(&got).skip(1) {
            let want = array(&io, key)?;
            check(key, &got[..got.len() * want.n / x.n], &want.values)?;
        }
        let c = x.shape.c;
        let both = got[0].chunks(2 * c);
        let eps: Vec<f32> =
            both.flat_map(|p| (0..c).map(|i| p[i] + var[0].sqrt() * p[c + i]).collect::<Vec<_>>()).collect();
        check("eps_pred", &eps, &array(&io, &format!("eps_pred_{j}"))?.values)?;
    }

    let mut decoder = Graph::new();
    model.part(Part::Decoder, &weights, &mut decoder)?;
    let mut keys = vec!["logits".to_string(), "image".to_string()];
    keys.extend(acts("vae.").into_iter().map(|(k, _)| k));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let got = evaluate(gpu, &passes::run(&decoder), x.n, &[("latent", &x.values)], &keys)?;
    let want = array(&io, "decode.logits")?;
    check("decode.logits", &got[0][..want.values.len()], &want.values)?;
    let image: Vec<f32> = got[1].iter().map(|v| (v + 1.0) / 2.0).collect();
    check("decode.image", &image, &array(&io, "decode.image")?.values)?;
    for (key, got) in keys.iter().zip(&got).skip(2) {
        check(key, got, &array(&io, &format!("act.{key}"))?.values)?;
    }

    if has("decode.image_batchstat_bn") {
        let mut config: serde_json::Value = Json::read(&case.join("config.json"), 1 << 20)?.parse()?;
        config["vae_train_mode"] = true.into();
        let model = models::open(&Json::new("config.json", config.to_string()), None)?;
        let mut decoder = Graph::new();
        model.part(Part::Decoder, &weights, &mut decoder)?;
        let got = evaluate(gpu, &passes::run(&decoder), x.n, &[("latent", &x.values)], &["image"])?;
        let image: Vec<f32> = got[0].iter().map(|v| (v + 1.0) / 2.0).collect();
        check("decode.image_batchstat_bn", &image, &array(&io, "decode.image_batchstat_bn")?.values)?;
    }

    if has("enc.image") {
        let mut encoder = Graph::new();
        model.part(Part::Encoder, &weights, &mut encoder)?;
        let image = array(&io, "enc.image")?;
        let noises: Vec<(String, Array)> = (0..)
            .map(|i| format!("noise_{i}"))
            .take_while(|k| has(&format!("enc.{k}")))
            .map(|k| Ok((k.clone(), array(&io, &format!("enc.{k}"))?)))
            .collect::<Result<_>>()?;
        let mut inputs = vec![("image", &image.values[..])];
        inputs.extend(noises.iter().map(|(k, a)| (k.as_str(), &a.values[..])));
        let parts: Vec<[String; 3]> = (0..noises.len())
            .map(|i| [format!("mu_{i}"), format!("log_sigma_{i}"), format!("eps_{i}")])
            .collect();
        let mut keys: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        keys.push("logits");
        let got = evaluate(gpu, &passes::run(&encoder), image.n, &inputs, &keys)?;
        for (key, got) in keys.iter().zip(&got) {
            let (key, got): (String, Vec<f32>) = match key.strip_prefix("log_") {
                Some(sigma) => (format!("enc.{sigma}"), got.iter().map(|v| v.exp()).collect()),
                None => (format!("enc.{key}"), got.clone()),
            };
            let want = array(&io, &key)?.values;
            check(&key, &got[..want.len()], &want)?;
        }
    }
    Ok(Outcome::Passed(worst))
}

/// Data (0) or velocities (1) of a state that has both.
fn half_of(both: Array, half: usize) -> Array {
    let c = both.shape.c / 2;
    let values = both.values.chunks(2 * c).flat_map(|p| p[half * c..][..c].to_vec()).collect();
    Array { n: both.n, shape: both.shape.with_c(c), values }
}

fn ddgan(gpu: &Gpu, case: &Path, unit: &str) -> Result<Outcome> {
    let data = Safetensors::open(&case.join(unit))?;
    let x = array(&data, "x_init")?;
    let config: serde_json::Value = Json::read(&case.join("config.json"), 1 << 20)?.parse()?;
    let steps = config["num_timesteps"].as_u64().unwrap_or(4) as usize;
    let (drive, system) = Drive::new(gpu, case, x.n, Sampler::Ddgan, steps)?;
    let mut worst = Worst(0.0);
    let System::Ddgan(of) = &system else { return Err("another system".into()) };
    let [coef1, coef2, log_variance] = ["mean_coef1", "mean_coef2", "log_variance_clipped"]
        .map(|k| data.read(&format!("sched.posterior_{k}")).map(|(_, v)| v));
    for (i, p) in posterior(of).into_iter().enumerate() {
        worst.number("coef1", p.x0, coef1.as_ref().map_err(|e| e.to_string())?[i], 2e-6)?;
        worst.number("coef2", p.x, coef2.as_ref().map_err(|e| e.to_string())?[i], 2e-6)?;
        let noise = (0.5 * log_variance.as_ref().map_err(|e| e.to_string())?[i]).exp();
        worst.number("noise", p.noise, if i > 0 { noise } else { 0.0 }, 2e-6)?;
    }
    for (k, regs) in drive.noises.iter().enumerate() {
        let i = steps - 1 - k;
        for reg in regs {
            let name = drive.program.registers[reg.0 as usize].name.as_str();
            let key = match name {
                "x" => "x_init".to_string(),
                "z" => format!("z_{i}"),
                _ => format!("noise_{i}"),
            };
            drive.exe.write_register(reg.0 as usize, &array(&data, &key)?.values);
        }
        drive.exe.run_step(k)?;
        let x0 = array(&data, &format!("x0_pred_{i}"))?.values;
        worst.state(&format!("x0_pred_{i}"), &drive.read("x0", x0.len())?, &x0)?;
        let key = if i == 0 { "final".to_string() } else { format!("x_t_{}", i - 1) };
        worst.state(&key, &drive.read("x", x0.len())?, &array(&data, &key)?.values)?;
    }
    Ok(Outcome::Passed(worst.0))
}

fn cld(gpu: &Gpu, case: &Path, unit: &str) -> Result<Outcome> {
    let samplers: serde_json::Value = Json::read(&case.join("sampler.json"), 1 << 20)?.parse()?;
    let about = samplers.as_object().into_iter().flatten().find(|(_, s)| s["file"] == unit);
    let about = about.ok_or("sampler.json does not name it")?.1;
    let kind = match (about["method"].as_str(), about["solver"][0].as_str()) {
        (Some("sscs"), _) => Sampler::Sscs,
        (Some("em"), _) => Sampler::CldEm,
        (Some("ode"), Some("rk4")) => Sampler::CldOde,
        (Some("ode"), Some("scipy_solver")) => return cld_adaptive(gpu, case, unit, about),
        (method, solver) => {
            return Ok(Outcome::Skipped(format!("{method:?} with {solver:?} is not supported yet")))
        }
    };
    let steps = match kind {
        Sampler::CldOde => (1.0 / about["solver"][1]["step_size"].as_f64().ok_or("no step_size")?).round(),
        _ => about["steps"].as_f64().ok_or("no steps")?,
    } as usize;
    let data = Safetensors::open(&case.join(unit))?;
    let names = data.names();
    let has = |key: &str| names.iter().any(|n| n == key);
    let x = array(&data, "init_x")?;
    let mut worst = Worst(0.0);
    let (drive, system) = Drive::new(gpu, case, x.n, kind, steps)?;
    let System::Cld(of) = &system else { return Err("another system".into()) };
    cld_kernel(case, of)?;
    // Draws of a step in order, by register: SSCS has two halves a step.
    let (mut draw, mut state) = (0, 0);
    for (k, regs) in drive.noises.iter().enumerate() {
        for reg in regs {
            let name = drive.program.registers[reg.0 as usize].name.as_str();
            let values = match (name, kind) {
                ("x", _) => array(&data, "init_x")?.values,
                ("v", _) => array(&data, "init_v_raw_noise")?.values,
                ("noise x", _) => {
                    half_of(array(&data, &format!("noise_{}_{}", draw / 2, ["a", "b"][draw % 2]))?, 0).values
                }
                ("noise v", _) => {
                    draw += 1;
                    let key = format!("noise_{}_{}", (draw - 1) / 2, ["a", "b"][(draw - 1) % 2]);
                    half_of(array(&data, &key)?, 1).values
                }
                _ => {
                    draw += 1;
                    half_of(array(&data, &format!("noise_{}", draw - 1))?, 1).values
                }
            };
            drive.exe.write_register(reg.0 as usize, &values);
        }
        drive.exe.run_step(k)?;
        // Every step of the sampler ends with a state; SSCS's first halves do not.
        if kind == Sampler::Sscs && draw % 2 == 1 {
            continue;
        }
        state += 1;
        let key = format!("state_{state}");
        let last = k + 1 == drive.noises.len();
        if has(&key) {
            let want = array(&data, &key)?;
            for (half, name) in ["x", "v"].into_iter().enumerate() {
                let want = half_of(Array { values: want.values.clone(), ..want }, half).values;
                worst.state(&format!("{name} of {key}"), &drive.read(name, want.len())?, &want)?;
            }
        } else if kind == Sampler::CldOde && has(&format!("eval_u_{}", 4 * state)) && !last {
            let want = array(&data, &format!("eval_u_{}", 4 * state))?;
            for (half, name) in ["x", "v"].into_iter().enumerate() {
                let want = half_of(Array { values: want.values.clone(), ..want }, half).values;
                worst.state(&format!("{name} after step {k}"), &drive.read(name, want.len())?, &want)?;
            }
        }
        if last {
            let want = array(&data, "final_x")?.values;
            worst.state("final_x", &drive.read("x", want.len())?, &want)?;
        }
    }
    Ok(Outcome::Passed(worst.0))
}

/// CLD's flow by SciPy's RK45, whose evaluations the reference counts one more: that of the
/// denoising step, which moves v alone.
fn cld_adaptive(gpu: &Gpu, case: &Path, unit: &str, about: &serde_json::Value) -> Result<Outcome> {
    let data = Safetensors::open(&case.join(unit))?;
    let x = array(&data, "init_x")?;
    let v = array(&data, "init_v_raw_noise")?.values;
    let calls = about["network_calls"].as_f64().ok_or("no network_calls")?;
    let drive = Drive::adaptive(gpu, case, x.n, 1e-5)?;
    let error = drive.solve(&[("x", &x.values), ("v", &v)], calls)?;
    let want = array(&data, "final_x")?.values;
    Ok(error.unwrap_or(ended(difference(&drive.read("x", want.len())?, &want)?)))
}

/// LSGM's flow by SciPy's RK45, and the decoder.
fn latent_adaptive(gpu: &Gpu, case: &Path, unit: &str) -> Result<Outcome> {
    let samplers: serde_json::Value = Json::read(&case.join("sampler.json"), 1 << 20)?.parse()?;
    let about = samplers.as_object().into_iter().flatten().find(|(_, s)| s["file"] == unit);
    let about = about.ok_or("sampler.json does not name it")?.1;
    let data = Safetensors::open(&case.join(unit))?;
    let x = array(&data, "init_noise")?;
    let number = |key: &str| about[key].as_f64().ok_or(format!("no {key}"));
    let drive = Drive::adaptive(gpu, case, x.n, number("tol")?)?;
    // Latents of further scales are noise that the file does not hold.
    let noise: Vec<String> = drive.noises.iter().flatten().map(|r| drive.name(*r)).collect();
    let mut given = vec![("x", &x.values[..])];
    let further: Vec<(String, Vec<f32>)> = noise
        .into_iter()
        .filter(|name| name != "x")
        .enumerate()
        .map(|(i, name)| Ok((name, array(&data, &format!("noise_{i}"))?.values)))
        .collect::<Result<_>>()?;
    given.extend(further.iter().map(|(name, values)| (name.as_str(), &values[..])));
    let error = drive.solve(&given, number("network_calls")?)?;
    let want = array(&data, "latent_final")?.values;
    let end = difference(&drive.read("x", want.len())?, &want)?;
    let image = array(&data, "image")?.values;
    let got: Vec<f32> = drive.read("image", image.len())?.iter().map(|v| (v + 1.0) / 2.0).collect();
    Ok(error.unwrap_or(ended(end.max(difference(&got, &image)?))))
}

/// The process against `kernel.*` of the case's network file.
fn cld_kernel(case: &Path, of: &undiffuse::diffusion::system::CldSampling) -> Result<()> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    if !io.names().iter().any(|n| n == "kernel.t") {
        return Ok(());
    }
    let read = |key: &str| io.read(&format!("kernel.{key}"));
    let (times, process) = (read("t")?.1, of.process);
    let (variances, cholesky) = (read("var_xx_xv_vv")?.1, read("cholesky_11_21_22")?.1);
    let (multiplier, mixed, mean, u0) =
        (read("noise_multiplier")?.1, read("mixed_var_vv")?.1, read("mean")?.1, read("u0")?.1);
    let (drift, diffusion) = (read("drift")?.1, read("diffusion")?.1);
    let (n, each) = (times.len(), u0.len() / times.len());
    let mut worst = Worst(0.0);
    let mut close = |key: &str, got: f64, want: f64| worst.number(key, got, want, 1e-9);
    for (i, &t) in times.iter().enumerate() {
        let s = process.kernel(t);
        let l = s.cholesky();
        for (j, got) in [s.xx, s.xv, s.vv].into_iter().enumerate() {
            close("variance", got, variances[j * n + i])?;
        }
        for (j, got) in [l.xx, l.vx, l.vv].into_iter().enumerate() {
            close("cholesky", got, cholesky[j * n + i])?;
        }
        close("mixed variance", process.mixed_variance(t), mixed[i])?;
        close("noise_multiplier", process.score(t).1, multiplier[i])?;
        let m = process.mean(t);
        let (beta, f) = (process.beta(t), process.friction());
        for j in 0..each / 2 {
            let (x, v) = (u0[i * each + j], u0[i * each + each / 2 + j]);
            close("mean of x", m[0][0] * x + m[0][1] * v, mean[i * each + j])?;
            close("mean of v", m[1][0] * x + m[1][1] * v, mean[i * each + each / 2 + j])?;
            close("drift of x", process.m_inv * beta * v, drift[i * each + j])?;
            close("drift of v", -beta * x - f * process.m_inv * beta * v, drift[i * each + each / 2 + j])?;
            close("diffusion of x", 0.0, diffusion[i * each + j])?;
            close("diffusion of v", (2.0 * f * beta).sqrt(), diffusion[i * each + each / 2 + j])?;
        }
    }
    Ok(())
}

fn latent(gpu: &Gpu, case: &Path, unit: &str) -> Result<Outcome> {
    let kind = match unit {
        "sampler_ancestral.safetensors" => Sampler::LsgmAncestral,
        "sampler_ode_rk4.safetensors" => Sampler::LsgmOde,
        _ => return latent_adaptive(gpu, case, unit),
    };
    let data = Safetensors::open(&case.join(unit))?;
    let names = data.names();
    let x = array(&data, "init_noise")?;
    let config: serde_json::Value = Json::read(&case.join("config.json"), 1 << 20)?.parse()?;
    let steps = match kind {
        Sampler::LsgmOde => names.iter().filter(|n| n.starts_with("eval_t_")).count() / 4,
        _ => config["diffusion_steps"].as_u64().unwrap_or(1000) as usize,
    };
    let (drive, system) = Drive::new(gpu, case, x.n, kind, steps)?;
    let System::Lsgm(of) = &system else { return Err("another system".into()) };
    latent_sde(case, of)?;
    let mut worst = Worst(0.0);
    let mut draw = 0;
    for (k, regs) in drive.noises.iter().enumerate() {
        for reg in regs {
            let values = match drive.program.registers[reg.0 as usize].name.as_str() {
                "x" => x.values.clone(),
                _ => {
                    draw += 1;
                    array(&data, &format!("noise_{}", draw - 1))?.values
                }
            };
            drive.exe.write_register(reg.0 as usize, &values);
        }
        drive.exe.run_step(k)?;
        let key = match kind {
            Sampler::LsgmOde => format!("eval_x_{}", 4 * (k + 1)),
            _ => format!("x_{}", k + 1),
        };
        let key = if k + 2 == drive.noises.len() { "latent_final".to_string() } else { key };
        if names.contains(&key) {
            worst.state(&key, &drive.read("x", x.values.len())?, &array(&data, &key)?.values)?;
        }
    }
    let image = array(&data, "image")?.values;
    let got: Vec<f32> = drive.read("image", image.len())?.iter().map(|v| (v + 1.0) / 2.0).collect();
    worst.state("image", &got, &image)?;
    Ok(Outcome::Passed(worst.0))
}

/// The process against `sde.*` of the case's network file, which is f32.
fn latent_sde(case: &Path, of: &undiffuse::diffusion::system::Lsgm) -> Result<()> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let read = |key: &str| io.read(&format!("sde.{key}")).map(|(_, v)| v);
    let (times, f, g2, var) = (read("t")?, read("f")?, read("g2")?, read("var")?);
    let mut worst = Worst(0.0);
    for (i, &t) in times.iter().enumerate() {
        worst.number("f", of.sde.drift(t), f[i], 2e-6)?;
        worst.number("g2", of.sde.diffusion2(t), g2[i], 2e-6)?;
        worst.number("var", of.sde.variance(t), var[i], 2e-6)?;
        worst.number("var in f32", of.sde.variance_single(t), var[i], 2e-7)?;
    }
    Ok(())
}
