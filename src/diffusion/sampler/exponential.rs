//! What exponential integrators share: one update in `lambda = log(alpha / sigma)`.

use super::super::solver_config::Algorithm;
use super::solve::Level;

/// `x_t = x * x_s + sum of d[i] * D_i + noise * z`, `D_0` being the model at s and
/// `D_i` the i-th derivatives of it, times `h^i`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    pub(super) x: f64,
    pub(super) d: [f64; 3],
    /// The midpoint's coefficient of `D_1`, which stands for the exact one at order 2.
    pub(super) midpoint: f64,
    pub(super) noise: f64,
    /// `lambda_t - lambda_s`.
    pub(super) h: f64,
}

impl Update {
    /// From the level `s` to the level `t` (whose sigma may be 0: then only `d[0]` counts).
    pub(super) fn new(algorithm: Algorithm, s: Level, t: Level) -> Self {
        let h = t.lambda - s.lambda;
        // phi functions of -h (image), h (noise) or -2h (image, SDE); far from 0
        // in all steps that are not absurd, so their plain forms do.
        let (e, arg) = match algorithm {
            Algorithm::Data => ((-h).exp_m1(), -h),
            Algorithm::DataSde => ((-2.0 * h).exp_m1(), -2.0 * h),
            Algorithm::Noise | Algorithm::NoiseSde => (h.exp_m1(), h),
        };
        let (phi1, phi2) = match h.is_finite() {
            true => (e / arg - 1.0, (e - arg) / (arg * arg) - 0.5),
            false => (0.0, 0.0),
        };
        // The SDE's D_2 is diffusers': k-diffusion has phi2 without the 1.
        let phi2 = if algorithm == Algorithm::DataSde { phi2 + 1.0 } else { phi2 };
        match algorithm {
            Algorithm::Data | Algorithm::DataSde => Self {
                x: t.sigma / s.sigma * if algorithm.is_sde() { (-h).exp() } else { 1.0 },
                d: [-t.alpha * e, -t.alpha * phi1, -t.alpha * phi2],
                midpoint: -0.5 * t.alpha * e,
                noise: if algorithm.is_sde() { t.sigma * (-e).max(0.0).sqrt() } else { 0.0 },
                h,
            },
            Algorithm::Noise | Algorithm::NoiseSde => {
                let twice = if algorithm.is_sde() { 2.0 } else { 1.0 };
                Self {
                    x: t.alpha / s.alpha,
                    d: [-twice * t.sigma * e, -twice * t.sigma * phi1, -twice * t.sigma * phi2],
                    midpoint: -0.5 * twice * t.sigma * e,
                    noise: if algorithm.is_sde() {
                        t.sigma * (2.0 * h).exp_m1().max(0.0).sqrt()
                    } else {
                        0.0
                    },
                    h,
                }
            }
        }
    }
}
