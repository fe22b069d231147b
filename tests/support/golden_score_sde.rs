//! score_sde's predictor-corrector and adaptive runs (`sampler_*.safetensors`).

use super::diffusers::{array, difference, Result};
use super::drive::{ended, Drive, Worst};
use super::Outcome;
use std::path::Path;
use undiffuse::diffusion::sampler::{Context, Corrector, ErrorControl, Predictor, Sampler, SolverOptions};
use undiffuse::diffusion::timesteps::Steps;
use undiffuse::gpu::Gpu;
use undiffuse::weights::{Json, Safetensors, Weights};

pub fn run(gpu: &Gpu, case: &Path, unit: &str) -> Result<Outcome> {
    let samplers: serde_json::Value = Json::read(&case.join("sampler.json"), 1 << 20)?.parse()?;
    let about = samplers.as_object().into_iter().flatten().find(|(_, s)| s["file"] == unit);
    let about = about.ok_or("sampler.json does not name it")?.1;
    let steps = about["N"].as_u64().ok_or("no N")? as usize;
    let mut config: serde_json::Value = Json::read(&case.join("config.json"), 1 << 20)?.parse()?;
    config["model"]["num_scales"] = steps.into();
    config["sampling"]["eps"] = about["eps"].clone();
    let centered = config["data"]["centered"].as_bool() == Some(true);
    let scheduler = undiffuse::diffusion::score_sde::scheduler(&config)?;
    let prior = scheduler.continuous.as_ref().ok_or("no process")?.prior();
    let data = Safetensors::open(&case.join(unit))?;
    let names = data.names();
    let has = |key: &str| names.iter().any(|n| n == key);
    let init = array(&data, "init")?;
    let start: Vec<f32> = init.values.iter().map(|v| (f64::from(*v) / prior) as f32).collect();
    let scaled = |values: Vec<f32>| -> Vec<f32> {
        values.into_iter().map(|v| if centered { (v + 1.0) / 2.0 } else { v }).collect()
    };
    let want = array(&data, "final")?.values;
    let mut options = SolverOptions { error_control: ErrorControl::Batch, ..Default::default() };
    let ode = about["predictor"].is_null();
    if ode {
        (options.rtol, options.atol) = (about["rtol"].as_f64(), about["atol"].as_f64());
    } else {
        let text = |key: &str| about[key].as_str().unwrap_or_default().to_string();
        options.predictor = Some(match text("predictor").as_str() {
            "ancestral_sampling" => Predictor::Ancestral,
            name => name.parse()?,
        });
        options.corrector = Some(text("corrector").parse()?);
        options.probability_flow = about["probability_flow"].as_bool() == Some(true);
        options.snr = about["snr"].as_f64();
        options.corrector_steps = about["n_steps_each"].as_u64().map(|n| n as usize);
    }
    let kind = if ode { Sampler::Rk45 } else { Sampler::Pc };
    let count = if ode { 1 } else { steps };
    let context = Context { options, ..Context::new(&scheduler, init.shape, Steps::Count(count)) };
    let drive = Drive::of(gpu, case, init.n, kind.program(&context)?)?;
    let mut worst = Worst(0.0);
    if ode {
        let calls = about["network_calls"].as_f64().ok_or("no network_calls")?;
        let off = drive.solve(&[("x", &start)], calls)?;
        return Ok(off.unwrap_or(ended(difference(&scaled(drive.read("x", want.len())?), &want)?)));
    }
    let inner = options.corrector_steps.unwrap_or(1);
    let corrects = options.corrector != Some(Corrector::None);
    let each = if corrects { inner + 1 } else { 1 };
    for (k, regs) in drive.noises.iter().enumerate() {
        let (step, part) = (k / each, k % each);
        let predicts = part + 1 == each;
        for reg in regs {
            let initial = k == 0 && reg.0 == 0;
            let key = match predicts {
                true => format!("pred_noise_{step}_0"),
                false => format!("corr_noise_{step}_{part}"),
            };
            let values = if initial { start.clone() } else { array(&data, &key)?.values };
            drive.exe.write_register(reg.0 as usize, &values);
        }
        drive.exe.run_step(k)?;
        let last = k + 1 == drive.noises.len();
        let key = match predicts {
            true if last => format!("pred_mean_{step}"),
            true => format!("pred_x_{step}"),
            false if part + 2 == each => format!("corr_x_{step}"),
            false => continue,
        };
        if has(&key) {
            let state = array(&data, &key)?.values;
            worst.state(&key, &drive.read("x", state.len())?, &state)?;
        }
        if last {
            worst.state("final", &scaled(drive.read("x", want.len())?), &want)?;
        }
    }
    Ok(Outcome::Passed(worst.0))
}
