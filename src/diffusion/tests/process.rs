//! Processes against their own differential equations, and conversions.

use super::super::process::{Interpolated, Process, Quantity};
use super::super::{Schedule, SchedulerConfig};

fn all() -> Vec<(Process, [f64; 5])> {
    let chain = Interpolated::new(&Schedule::new(&SchedulerConfig::default()).unwrap()).unwrap();
    let unit = [0.01, 0.2, 0.5, 0.77, 0.98];
    vec![
        (Process::VpLinear { beta_min: 0.1, beta_max: 20.0 }, unit),
        (Process::VpCosine { offset: 0.008 }, unit),
        (Process::VpDiscrete(chain), [3.3, 100.5, 499.2, 777.7, 990.1]),
        (Process::SubVp { beta_min: 0.1, beta_max: 20.0 }, unit),
        (Process::Ve { sigma_min: 0.01, sigma_max: 50.0 }, unit),
        (Process::Edm, [0.002, 0.5, 3.0, 20.0, 80.0]),
    ]
}

/// `a' = f a` and `(s^2)' = 2 f s^2 + g^2`, by central differences.
#[test]
fn moments_solve_the_equations() {
    for (p, times) in all() {
        for t in times {
            let e = 1e-4 * t.min(1.0);
            let slope = |f: &dyn Fn(f64) -> f64| (f(t + e) - f(t - e)) / (2.0 * e);
            let (f, g) = (p.drift(t), p.diffusion(t));
            let mean = slope(&|t| p.mean(t));
            assert!((mean - f * p.mean(t)).abs() < 1e-5 * (1.0 + mean.abs()), "{p:.20?} {t}");
            let variance = slope(&|t| p.std(t).powi(2));
            let want = 2.0 * f * p.std(t).powi(2) + g * g;
            assert!((variance - want).abs() < 1e-5 * (1.0 + want.abs()), "{t}: {variance} {want}");
        }
    }
}

#[test]
fn log_snr_falls_and_inverts() {
    for (p, times) in all() {
        for t in times {
            let log_snr = 2.0 * (p.mean(t) / p.std(t)).ln();
            assert!((p.log_snr(t) - log_snr).abs() < 1e-9 * (1.0 + log_snr.abs()));
            let back = p.time_of_log_snr(p.log_snr(t));
            assert!((back - t).abs() < 1e-8 * t.max(1.0), "{back} is not {t}");
        }
        assert!(times.windows(2).all(|pair| p.log_snr(pair[0]) > p.log_snr(pair[1])));
    }
}

/// Five values of each, computed apart from the code by hand from the formulas.
#[test]
fn closed_values() {
    let vp = Process::VpLinear { beta_min: 0.1, beta_max: 20.0 };
    // a(1)^2 = exp(-(0.1 + 20) / 2).
    assert!((vp.mean(1.0).powi(2) - (-10.05f64).exp()).abs() < 1e-12);
    assert!((vp.drift(1.0) + 10.0).abs() < 1e-12 && (vp.diffusion(0.0).powi(2) - 0.1).abs() < 1e-12);
    let sub = Process::SubVp { beta_min: 0.1, beta_max: 20.0 };
    assert!((sub.std(1.0) - (1.0 - (-10.05f64).exp())).abs() < 1e-12);
    let ve = Process::Ve { sigma_min: 0.01, sigma_max: 100.0 };
    assert!((ve.std(0.5) - 1.0).abs() < 1e-12 && ve.mean(0.5) == 1.0);
    assert!((Process::Edm.diffusion(8.0) - 4.0).abs() < 1e-12);
}

/// At whole timesteps the continuous process is the chain.
#[test]
fn the_discrete_chain_is_kept() {
    let schedule = Schedule::new(&SchedulerConfig::default()).unwrap();
    let p = Process::VpDiscrete(Interpolated::new(&schedule).unwrap());
    for (t, alpha_bar) in schedule.alpha_bar().iter().enumerate() {
        assert!((p.mean(t as f64).powi(2) / alpha_bar - 1.0).abs() < 1e-12, "{t}");
        // A discrete model is a discretisation: its beta is the continuous one's step.
        if t > 20 && t < 990 {
            let beta = p.diffusion(t as f64 - 0.5).powi(2);
            let want = -(1.0 - schedule.betas()[t]).ln();
            assert!((beta / want - 1.0).abs() < 1e-2, "{t}: {beta} {want}");
        }
    }
    let ends = SchedulerConfig { rescale_betas_zero_snr: true, ..Default::default() };
    let refused = Interpolated::new(&Schedule::new(&ends).unwrap()).unwrap_err().to_string();
    assert!(refused.contains("t = 999") && refused.contains("between 0 and 1"), "{refused}");
}

#[test]
fn quantities_convert_back() {
    for (p, times) in all() {
        for t in times {
            let (a, s) = (p.mean(t), p.std(t));
            let (x0, eps) = (0.7, -1.3);
            let x = a * x0 + s * eps;
            for q in [Quantity::Eps, Quantity::X0, Quantity::V, Quantity::Score, Quantity::F(0.5)] {
                let back = q.to_x0(q.of_x0(x0, x, a, s), x, a, s);
                assert!((back - x0).abs() < 1e-6, "{q:?} at {t}: {back}");
            }
            assert!((Quantity::Score.of_x0(x0, x, a, s) + eps / s).abs() < 1e-6 / s.min(1.0));
        }
    }
}
