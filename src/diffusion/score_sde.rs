//! A configuration of score_sde (Song et al. 2021, arXiv:2011.13456): a model in continuous time
//! (VP, sub-VP, VE), and for VP a discrete chain beside it, for the samplers that go by
//! timesteps.
//!
//! Its VP in discrete time *is* DDPM's chain: betas from `beta_min / N` to `beta_max / N`. Its VP
//! in continuous time tells the network `999 t`, so timestep k of a chain of 1000 has the
//! `alpha_bar` of `t = k / 999`.

use super::continuous::Clock;
use super::process::Quantity;
use super::{Continuous, Error, Process, Schedule, SchedulerConfig};
use serde_json::Value;

/// What the network is told is so many times t.
const LABELS: usize = 999;

/// What samplers are told of a configuration.
///
/// # Errors
/// [`Error::Field`] for a field that is wrong or not supported.
pub fn config(config: &Value) -> Result<SchedulerConfig, Error> {
    let number = |group: &str, name: &'static str, default: f64| match &config[group][name] {
        Value::Null => Ok(default),
        value => value
            .as_f64()
            .filter(|v| v.is_finite() && *v >= 0.0)
            .ok_or_else(|| Error::field(name, value, "a number that is not negative is wanted")),
    };
    let (beta_min, beta_max) = (number("model", "beta_min", 0.1)?, number("model", "beta_max", 20.0)?);
    let scales = number("model", "num_scales", 1000.0)?;
    if !(1.0..=super::scheduler_config::MAX_TRAIN_TIMESTEPS as f64).contains(&scales) {
        return Err(Error::field("num_scales", scales, "1 to 100000 are wanted"));
    }
    let discrete = config["training"]["continuous"].as_bool() == Some(false);
    let sde = config["training"]["sde"].as_str().unwrap_or("vpsde");
    let vp = Process::VpLinear { beta_min, beta_max };
    let (mut own, process, quantity, clock, eps) = match sde {
        "vpsde" => (chain(config)?, vp, Quantity::Eps, Clock::Scaled(LABELS as f64), 1e-3),
        "subvpsde" if !discrete => {
            let process = Process::SubVp { beta_min, beta_max };
            (SchedulerConfig::default(), process, Quantity::Eps, Clock::Scaled(LABELS as f64), 1e-3)
        }
        "vesde" if !discrete => {
            let (sigma_min, sigma_max) =
                (number("model", "sigma_min", 0.01)?, number("model", "sigma_max", 50.0)?);
            if !(0.0 < sigma_min && sigma_min < sigma_max) {
                return Err(Error::field("sigma_min", sigma_min, "it must lie between 0 and sigma_max"));
            }
            let process = Process::Ve { sigma_min, sigma_max };
            (SchedulerConfig::default(), process, Quantity::Score, Clock::Std, 1e-5)
        }
        "vesde" | "subvpsde" => {
            let need = format!("{sde} is sampled where it was trained in continuous time");
            return Err(Error::field("continuous", "false", need));
        }
        other => return Err(Error::field("sde", other, "vpsde, subvpsde and vesde are known")),
    };
    // Trained on the chain itself: labels are its timesteps, and so are the deviations.
    let (clock, stds) = match discrete {
        false => (clock, None),
        true => {
            let schedule = Schedule::new(&own)?;
            let stds = schedule.alpha_bar().iter().map(|a| (1.0 - a).sqrt()).collect();
            (Clock::Scaled(scales - 1.0), Some(stds))
        }
    };
    own.continuous = Some(Continuous {
        process,
        quantity,
        clock,
        start: 1.0,
        end: number("sampling", "eps", eps)?,
        scales: scales as usize,
        snr: number("sampling", "snr", 0.16)?,
        corrector_steps: number("sampling", "n_steps_each", 1.0)? as usize,
        stds,
    });
    Ok(own)
}

/// The chain of a configuration, the network predicting the noise.
fn chain(config: &Value) -> Result<SchedulerConfig, Error> {
    let number = |name: &'static str, default: f64| match &config["model"][name] {
        Value::Null => Ok(default),
        value => value
            .as_f64()
            .filter(|v| v.is_finite() && *v >= 0.0)
            .ok_or_else(|| Error::field(name, value, "a number that is not negative is wanted")),
    };
    let (beta_min, beta_max) = (number("beta_min", 0.1)?, number("beta_max", 20.0)?);
    let continuous = match &config["training"]["continuous"] {
        Value::Null => true,
        value => {
            value.as_bool().ok_or_else(|| Error::field("continuous", value, "true or false is wanted"))?
        }
    };
    match config["training"]["sde"].as_str().unwrap_or("vpsde") {
        "vpsde" if continuous => {
            let process = Process::VpLinear { beta_min, beta_max };
            // A little noise at t = 0: what the network knows there.
            let alpha_bar = |k: usize| process.mean((k as f64).max(0.5) / LABELS as f64).powi(2);
            let beta = |k: usize| 1.0 - alpha_bar(k) / if k == 0 { 1.0 } else { alpha_bar(k - 1) };
            let betas: Vec<f64> = (0..=LABELS).map(beta).collect();
            Ok(SchedulerConfig {
                num_train_timesteps: betas.len(),
                trained_betas: Some(betas),
                ..SchedulerConfig::default()
            })
        }
        "vpsde" => {
            let n = number("num_scales", 1000.0)?;
            let checked = SchedulerConfig {
                num_train_timesteps: n as usize,
                beta_start: beta_min / n,
                beta_end: beta_max / n,
                ..SchedulerConfig::default()
            };
            checked.check()?;
            Ok(checked)
        }
        other => {
            let need = "the samplers by timesteps know vpsde alone";
            Err(Error::field("sde", other, need))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Schedule;

    #[test]
    fn continuous_time_is_a_chain() {
        let config = serde_json::json!({"training": {"sde": "vpsde", "continuous": true}, "model": {}});
        let chain = chain(&config).unwrap();
        let schedule = Schedule::new(&chain).unwrap();
        // t = 500 / 999: exp(-t^2 19.9 / 2 - 0.1 t)
        let t = 500.0 / 999.0f64;
        let want = (-t * t * 19.9 / 2.0 - 0.1 * t).exp();
        assert!((schedule.alpha_bar()[500] - want).abs() < 1e-12);
    }

    #[test]
    fn discrete_time_is_ddpm() {
        let config = serde_json::json!({"training": {"sde": "vpsde", "continuous": false},
            "model": {"beta_min": 0.1, "beta_max": 20, "num_scales": 1000}});
        let chain = chain(&config).unwrap();
        assert_eq!((chain.beta_start, chain.beta_end), (1e-4, 0.02));
        let config = serde_json::json!({"training": {"sde": "vesde"}});
        assert!(super::chain(&config).unwrap_err().to_string().contains("vesde"));
    }
}
