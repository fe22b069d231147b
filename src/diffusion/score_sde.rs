//! A configuration of score_sde (Song et al. 2021, arXiv:2011.13456): its process in continuous
//! time, and for VP also a discrete chain, for the samplers that go by timesteps.
//!
//! Its VP in discrete time *is* DDPM's chain: betas from `beta_min / N` to `beta_max / N`. Its VP
//! in continuous time tells the network `999 t`, so timestep k of a chain of 1000 has the
//! `alpha_bar` of `t = k / 999`.

use super::continuous::Clock;
use super::process::Quantity;
use super::program::{Coef, Instruction, Program, Step, Term};
use super::scheduler_config::MAX_TRAIN_TIMESTEPS;
use super::{Continuous, Error, Process, SchedulerConfig};
use serde_json::Value;

/// What the network of a process in continuous time is told is so many times t.
const LABELS: usize = 999;

/// A field of a group; `default` where it is not there.
fn number(config: &Value, group: &str, name: &'static str, default: f64) -> Result<f64, Error> {
    match &config[group][name] {
        Value::Null => Ok(default),
        value => value
            .as_f64()
            .filter(|v| v.is_finite() && *v >= 0.0)
            .ok_or_else(|| Error::field(name, value, "a number that is not negative is wanted")),
    }
}

/// A whole number from 1 on.
fn count(config: &Value, group: &str, name: &'static str, default: f64, most: usize) -> Result<usize, Error> {
    let value = number(config, group, name, default)?;
    match value.fract() == 0.0 && value >= 1.0 && value <= most as f64 {
        true => Ok(value as usize),
        false => Err(Error::field(name, value, format!("a whole number from 1 to {most} is wanted"))),
    }
}

fn is_continuous(config: &Value) -> Result<bool, Error> {
    match &config["training"]["continuous"] {
        Value::Null => Ok(true),
        value => value.as_bool().ok_or_else(|| Error::field("continuous", value, "true or false is wanted")),
    }
}

/// The betas of a discrete chain of `n`.
fn betas(config: &Value, n: usize) -> Result<Vec<f64>, Error> {
    let (low, high) = (
        number(config, "model", "beta_min", 0.1)? / n as f64,
        number(config, "model", "beta_max", 20.0)? / n as f64,
    );
    match high < 1.0 {
        true => Ok(super::schedule::linspace(low, high, n).collect()),
        false => {
            Err(Error::field("beta_max", high * n as f64, format!("a chain of {n} needs less than {n}")))
        }
    }
}

/// The process and what the network knows of it, with `n` levels where it was trained in
/// discrete time (the reference's `sde.N`).
///
/// # Errors
/// [`Error::Field`] for a field that is wrong or a process that is not supported.
pub fn continuous(config: &Value, n: usize) -> Result<Continuous, Error> {
    let model = |name, default| number(config, "model", name, default);
    let (beta_min, beta_max) = (model("beta_min", 0.1)?, model("beta_max", 20.0)?);
    let trained = is_continuous(config)?;
    let scaled = Clock::Scaled(LABELS as f64);
    let (process, quantity, clock, end, stds) = match config["training"]["sde"].as_str().unwrap_or("vpsde") {
        "vpsde" if trained => (Process::VpLinear { beta_min, beta_max }, Quantity::Eps, scaled, 1e-3, None),
        "vpsde" => {
            let mut alpha_bar = 1.0;
            let std = |beta: f64| {
                alpha_bar *= 1.0 - beta;
                f64::sqrt(1.0 - alpha_bar)
            };
            let stds = betas(config, n)?.into_iter().map(std).collect();
            let clock = Clock::Scaled(n.saturating_sub(1) as f64);
            (Process::VpLinear { beta_min, beta_max }, Quantity::Eps, clock, 1e-3, Some(stds))
        }
        "subvpsde" if trained => (Process::SubVp { beta_min, beta_max }, Quantity::Eps, scaled, 1e-3, None),
        "vesde" => {
            let (sigma_min, sigma_max) = (model("sigma_min", 0.01)?, model("sigma_max", 50.0)?);
            if !(sigma_min > 0.0 && sigma_min < sigma_max) {
                return Err(Error::field("sigma_min", sigma_min, "0 < sigma_min < sigma_max is wanted"));
            }
            let clock = if trained { Clock::Std } else { Clock::Falling(n.saturating_sub(1) as f64) };
            (Process::Ve { sigma_min, sigma_max }, Quantity::Score, clock, 1e-5, None)
        }
        other => {
            let need = "supported are vpsde, vesde, and in continuous time subvpsde";
            return Err(Error::field("sde", other, need));
        }
    };
    if beta_max <= beta_min && quantity == Quantity::Eps {
        return Err(Error::field("beta_max", beta_max, "it must be more than beta_min"));
    }
    let end = number(config, "sampling", "eps", end)?;
    if !(end > 0.0 && end < 1.0) {
        return Err(Error::field("eps", end, "it must lie between 0 and 1"));
    }
    Ok(Continuous {
        process,
        quantity,
        clock,
        start: 1.0,
        end,
        scales: n,
        snr: number(config, "sampling", "snr", 0.16)?,
        corrector_steps: count(config, "sampling", "n_steps_each", 1.0, 1000)?,
        stds,
    })
}

/// What samplers are told of a model of score_sde: the process, and for VP the chain too.
///
/// # Errors
/// As [`continuous`].
pub fn scheduler(config: &Value) -> Result<SchedulerConfig, Error> {
    let n = count(config, "model", "num_scales", 1000.0, MAX_TRAIN_TIMESTEPS)?;
    let own = continuous(config, n)?;
    let chain = match own.process {
        Process::VpLinear { .. } if is_continuous(config)? => {
            // A little noise at t = 0: what the network knows there.
            let alpha_bar = |k: usize| own.process.mean((k as f64).max(0.5) / LABELS as f64).powi(2);
            let beta = |k: usize| 1.0 - alpha_bar(k) / if k == 0 { 1.0 } else { alpha_bar(k - 1) };
            Some((0..=LABELS).map(beta).collect::<Vec<f64>>())
        }
        Process::VpLinear { .. } => Some(betas(config, n)?),
        _ => None,
    };
    Ok(SchedulerConfig {
        num_train_timesteps: chain.as_ref().map_or(n, Vec::len),
        trained_betas: chain,
        continuous: Some(own),
        ..SchedulerConfig::default()
    })
}

/// Appends the way from images in `[0, 1]`, as models that are not centred have them, to
/// `[-1, 1]`.
pub fn centred(mut program: Program) -> Program {
    let x = program.output;
    let shape = program.registers[x.0 as usize].shape;
    let one = program.register("1", shape);
    let instructions = vec![
        Instruction::Fill { dst: one, value: Coef::Const(1.0) },
        Instruction::Mix { dst: x, terms: vec![Term::new(2.0, x), Term::new(-1.0, one)], clamp: None },
    ];
    program.steps.push(Step { label: "to [-1, 1]".into(), instructions });
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;

    #[test]
    fn continuous_time_is_a_chain_too() {
        let config = serde_json::json!({"training": {"sde": "vpsde", "continuous": true}, "model": {}});
        let schedule = Schedule::new(&scheduler(&config).unwrap()).unwrap();
        // t = 500 / 999: exp(-t^2 19.9 / 2 - 0.1 t)
        let t = 500.0 / 999.0f64;
        let want = (-t * t * 19.9 / 2.0 - 0.1 * t).exp();
        assert!((schedule.alpha_bar()[500] - want).abs() < 1e-12);
    }

    #[test]
    fn discrete_time_is_ddpm() {
        let config = serde_json::json!({"training": {"sde": "vpsde", "continuous": false},
            "model": {"beta_min": 0.1, "beta_max": 20, "num_scales": 1000}});
        let ours = Schedule::new(&scheduler(&config).unwrap()).unwrap();
        let ddpm = Schedule::new(&SchedulerConfig::default()).unwrap();
        assert!(ours.alpha_bar().iter().zip(ddpm.alpha_bar()).all(|(a, b)| (a - b).abs() < 1e-12));
        let config = serde_json::json!({"training": {"sde": "subvpsde", "continuous": false}});
        assert!(scheduler(&config).unwrap_err().to_string().contains("subvpsde"));
    }

    #[test]
    fn discrete_ve_counts_its_levels_from_the_noise() {
        let config = serde_json::json!({"training": {"sde": "vesde", "continuous": false},
            "model": {"sigma_min": 0.01, "sigma_max": 50, "num_scales": 1000}});
        let model = scheduler(&config).unwrap().continuous.unwrap();
        let levels = model.levels(1000).unwrap();
        let told: Vec<f64> = levels.iter().map(|level| model.told(level.t)).collect();
        assert!((0..1000).all(|k| told[k] == k as f64), "{told:?}");
        // The network divides by the level's sigma itself.
        assert_eq!(model.score(0.5).out, 1.0);
    }
}
