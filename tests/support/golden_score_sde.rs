//! score_sde's predictor-corrector and adaptive runs (`sampler_*.safetensors`).

use super::diffusers::{array, difference, Result};
use super::drive::{Drive, Worst};
use super::Outcome;
use std::path::Path;
use std::time::Duration;
use undiffuse::diffusion::program::Reg;
use undiffuse::diffusion::sampler::{Context, Corrector, ErrorControl, Predictor, Sampler, SolverOptions};
use undiffuse::diffusion::timesteps::Steps;
use undiffuse::engine::{Batch, Turn};
use undiffuse::gpu::Gpu;
use undiffuse::weights::{Json, Safetensors, Weights};

/// Largest error of the end of an adaptive solver, as a part of its scale.
const ADAPTIVE: f64 = 5e-3;

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
        drive.exe.write_register(0, &start);
        let batch = Batch { registers: vec![(Reg(0), start)], ..Batch::default() };
        let mut run = drive.exe.start(&batch)?;
        let drawn = loop {
            match run.turn(&drive.exe, Duration::from_millis(100))? {
                Turn::Submitted => {}
                Turn::Wait(ticket) => {
                    ticket.wait(Duration::from_secs(60))?;
                }
                Turn::Drawn(drawn) => break drawn,
            }
        };
        let error = difference(&scaled(drive.read("x", want.len())?), &want)?;
        let passes = drawn.passes.ok_or("it does not say how many passes it took")?;
        let once = (drive.program.nfe() - drive.program.loop_nfe()) as f64;
        // In batch control all images take the same steps.
        let steps = passes.accepted.iter().zip(&passes.rejected).map(|(a, r)| a + r).max().unwrap_or(0);
        let nfe = once + f64::from(drive.program.loop_nfe() as u32 * steps);
        let calls = about["network_calls"].as_f64().ok_or("no network_calls")?;
        // Two steps of six evaluations: an error near 1 falls to either side by rounding.
        if (nfe - calls).abs() > (0.05 * calls).max(12.0) {
            return Ok(Outcome::Failed(format!("{nfe} evaluations, the reference took {calls}")));
        }
        return match error <= ADAPTIVE {
            true => Ok(Outcome::Passed(error)),
            false => Ok(Outcome::Failed(format!("final is off by {error:.2e} of its scale"))),
        };
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
