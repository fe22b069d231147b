//! Forward processes in continuous time, f64.
//!
//! A process is linear and Gaussian: `x_t = a(t) x0 + s(t) z`, the solution of
//!
//! ```text
//! dx = f(t) x dt + g(t) dw,    f = a' / a,    g^2 = 2 s s' - 2 f s^2
//! ```
//!
//! (Song et al. 2021, arXiv:2011.13456, section 3; Kingma et al. 2021,
//! arXiv:2107.00630, eq. 5). Its reverse is `dx = (f x - g^2 score) dt + g dw`
//! backwards in time, and its probability flow `dx = (f x - g^2 score / 2) dt`.
//! Time is the model's own: 0 to 1 for the formulas of the paper, timesteps of
//! training for a discrete schedule, sigma for EDM.

use super::{Error, Schedule};

/// A forward process.
#[derive(Clone, Debug, PartialEq)]
pub enum Process {
    /// Variance preserving, beta linear in t in [0, 1] (arXiv:2011.13456, eq. 32):
    /// `a = exp(-t^2 (max - min) / 4 - t min / 2)`, `s^2 = 1 - a^2`.
    VpLinear {
        /// beta(0).
        beta_min: f64,
        /// beta(1).
        beta_max: f64,
    },
    /// Variance preserving, `a = cos(pi/2 (t + o) / (1 + o)) / cos(pi/2 o / (1 + o))`
    /// for t in [0, 1) (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17).
    VpCosine {
        /// o, 0.008 in the paper.
        offset: f64,
    },
    /// Variance preserving, from alpha_bar of a discrete chain: log-SNR is a cubic
    /// between whole timesteps, and its values and mean slopes are the chain's.
    VpDiscrete(Interpolated),
    /// Sub-VP: VP's mean, `s = 1 - a^2` (arXiv:2011.13456, eq. 29).
    SubVp {
        /// beta(0).
        beta_min: f64,
        /// beta(1).
        beta_max: f64,
    },
    /// Variance exploding: `a = 1`, `s = min (max / min)^t`, t in [0, 1]
    /// (arXiv:2011.13456, eq. 31, without its shift at 0).
    Ve {
        /// s(0).
        sigma_min: f64,
        /// s(1).
        sigma_max: f64,
    },
    /// Karras et al. (2022, arXiv:2206.00364, table 1): `a = 1`, `s = t`.
    Edm,
}

/// Log-SNR of a discrete chain, as piecewise cubics that fall everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Interpolated {
    values: Vec<f64>,
    slopes: Vec<f64>,
}

impl Interpolated {
    /// From alpha_bar of every timestep.
    ///
    /// # Errors
    /// Fewer than two timesteps, or an alpha_bar that is not in (0, 1) or does not fall.
    pub fn new(schedule: &Schedule) -> Result<Self, Error> {
        Self::from_alpha_bar(schedule.alpha_bar())
    }

    /// From alpha_bar itself.
    ///
    /// # Errors
    /// As [`Interpolated::new`].
    pub fn from_alpha_bar(alpha_bar: &[f64]) -> Result<Self, Error> {
        let values: Vec<f64> = alpha_bar.iter().map(|a| (a / (1.0 - a)).ln()).collect();
        let refuse = |t: usize, need: &str| {
            Err(Error::option("alpha_bar", format!("{} at t = {t}", alpha_bar[t]), need))
        };
        if let Some(t) = values.iter().position(|v| !v.is_finite()) {
            return refuse(t, "a continuous process needs it between 0 and 1");
        }
        if let Some(t) = values.windows(2).position(|pair| pair[0] <= pair[1]) {
            return refuse(t, "it must fall to the next timestep");
        }
        if values.len() < 2 {
            return refuse(0, "a continuous process needs two timesteps");
        }
        // Harmonic means of neighbouring slopes keep the cubics monotone (Fritsch &
        // Butland 1984).
        let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let slope = |t: usize| match (t.checked_sub(1).and_then(|i| steps.get(i)), steps.get(t)) {
            (Some(a), Some(b)) => 2.0 * a * b / (a + b),
            (Some(a), None) | (None, Some(a)) => *a,
            (None, None) => 0.0,
        };
        let slopes = (0..values.len()).map(slope).collect();
        Ok(Self { values, slopes })
    }

    /// The last timestep.
    fn end(&self) -> f64 {
        (self.values.len() - 1) as f64
    }

    /// The time of a value; the nearer end beyond them.
    fn inverse(&self, value: f64) -> f64 {
        let below = self.values.partition_point(|v| *v > value);
        let i = below.saturating_sub(1).min(self.values.len() - 2) as f64;
        let (mut low, mut high) = (i, i + 1.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            match self.at(middle).0 > value {
                true => low = middle,
                false => high = middle,
            }
        }
        0.5 * (low + high)
    }

    /// The value and slope at t, clamped to the chain.
    fn at(&self, t: f64) -> (f64, f64) {
        let t = t.clamp(0.0, self.end());
        let i = (t.floor() as usize).min(self.values.len() - 2);
        let (u, y0, y1) = (t - i as f64, self.values[i], self.values[i + 1]);
        let (m0, m1) = (self.slopes[i], self.slopes[i + 1]);
        let (c2, c3) = (3.0 * (y1 - y0) - 2.0 * m0 - m1, 2.0 * (y0 - y1) + m0 + m1);
        (y0 + u * (m0 + u * (c2 + u * c3)), m0 + u * (2.0 * c2 + 3.0 * u * c3))
    }
}

impl Process {
    /// The interval of time.
    pub fn interval(&self) -> (f64, f64) {
        match self {
            Self::VpDiscrete(chain) => (0.0, chain.end()),
            Self::Edm => (0.0, f64::INFINITY),
            _ => (0.0, 1.0),
        }
    }

    /// `a(t)`, the image's factor.
    pub fn mean(&self, t: f64) -> f64 {
        match self {
            Self::VpDiscrete(chain) => sigmoid(chain.at(t).0).sqrt(),
            _ => self.log_mean(t).exp(),
        }
    }

    fn log_mean(&self, t: f64) -> f64 {
        match self {
            Self::VpLinear { beta_min, beta_max } | Self::SubVp { beta_min, beta_max } => {
                -0.25 * t * t * (beta_max - beta_min) - 0.5 * t * beta_min
            }
            Self::VpCosine { offset } => {
                let angle = |t: f64| std::f64::consts::FRAC_PI_2 * (t + offset) / (1.0 + offset);
                (angle(t).cos() / angle(0.0).cos()).ln()
            }
            Self::VpDiscrete(chain) => 0.5 * sigmoid(chain.at(t).0).ln(),
            Self::Ve { .. } | Self::Edm => 0.0,
        }
    }

    /// `s(t)`, the noise's factor.
    pub fn std(&self, t: f64) -> f64 {
        match self {
            Self::VpLinear { .. } | Self::VpCosine { .. } => {
                (-(2.0 * self.log_mean(t)).exp_m1()).max(0.0).sqrt()
            }
            Self::VpDiscrete(chain) => sigmoid(-chain.at(t).0).sqrt(),
            Self::SubVp { .. } => -(2.0 * self.log_mean(t)).exp_m1(),
            Self::Ve { sigma_min, sigma_max } => sigma_min * (sigma_max / sigma_min).powf(t),
            Self::Edm => t,
        }
    }

    /// `f(t)`: the drift is `f x`.
    pub fn drift(&self, t: f64) -> f64 {
        match self {
            Self::VpLinear { beta_min, beta_max } | Self::SubVp { beta_min, beta_max } => {
                -0.5 * (beta_min + t * (beta_max - beta_min))
            }
            Self::VpCosine { offset } => {
                let rate = std::f64::consts::FRAC_PI_2 / (1.0 + offset);
                -rate * (rate * (t + offset)).tan()
            }
            Self::VpDiscrete(chain) => {
                let (value, slope) = chain.at(t);
                0.5 * sigmoid(-value) * slope
            }
            Self::Ve { .. } | Self::Edm => 0.0,
        }
    }

    /// `g(t)`, not negative.
    pub fn diffusion(&self, t: f64) -> f64 {
        match self {
            Self::VpLinear { .. } | Self::VpCosine { .. } | Self::VpDiscrete(_) => {
                (-2.0 * self.drift(t)).sqrt()
            }
            Self::SubVp { .. } => (-2.0 * self.drift(t) * -(4.0 * self.log_mean(t)).exp_m1()).max(0.0).sqrt(),
            Self::Ve { sigma_min, sigma_max } => self.std(t) * (2.0 * (sigma_max / sigma_min).ln()).sqrt(),
            Self::Edm => (2.0 * t).sqrt(),
        }
    }

    /// The step from one time to a later one: `x' = keep x + added z` with fresh noise z
    /// (from the image itself where there is no earlier time).
    pub fn transition(&self, from: Option<f64>, to: f64) -> (f64, f64) {
        let (a, s) = from.map_or((1.0, 0.0), |t| (self.mean(t), self.std(t)));
        let keep = self.mean(to) / a;
        (keep, (self.std(to).powi(2) - (keep * s).powi(2)).max(0.0).sqrt())
    }

    /// `log(a^2 / s^2)`; it falls with t.
    pub fn log_snr(&self, t: f64) -> f64 {
        match self {
            Self::VpDiscrete(chain) => chain.at(t).0,
            _ => 2.0 * (self.log_mean(t) - self.std(t).ln()),
        }
    }

    /// The time of a log-SNR; the nearer end's beyond the interval.
    pub fn time_of_log_snr(&self, log_snr: f64) -> f64 {
        match self {
            Self::Ve { sigma_min, sigma_max } => {
                ((-0.5 * log_snr - sigma_min.ln()) / (sigma_max / sigma_min).ln()).clamp(0.0, 1.0)
            }
            Self::Edm => (-0.5 * log_snr).exp(),
            Self::VpDiscrete(chain) => chain.inverse(log_snr),
            _ => {
                let (mut low, mut high) = self.interval();
                for _ in 0..200 {
                    let middle = 0.5 * (low + high);
                    match self.log_snr(middle) > log_snr {
                        true => low = middle,
                        false => high = middle,
                    }
                }
                0.5 * (low + high)
            }
        }
    }
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// What a network may predict, of one state `x = a x0 + s eps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantity {
    /// The noise.
    Eps,
    /// The image.
    X0,
    /// `v = (a eps - s x0) / sqrt(a^2 + s^2)` (with a VP process, that of
    /// Salimans & Ho 2022, arXiv:2202.00512).
    V,
    /// `score = -eps / s`.
    Score,
    /// EDM's `F`: `x0 = c_skip y + c_out F` at `y = x / a`, `sigma = s / a` (Karras et
    /// al. 2022, arXiv:2206.00364, table 1), with the deviation of the data.
    F(f64),
}

impl Quantity {
    /// x0 from the quantity's value, the state and the process there.
    pub fn to_x0(self, value: f64, x: f64, a: f64, s: f64) -> f64 {
        match self {
            Self::Eps => (x - s * value) / a,
            Self::X0 => value,
            Self::V => {
                let r = a.hypot(s);
                (a * x / r - s * value) / r
            }
            Self::Score => (x + s * s * value) / a,
            Self::F(data) => {
                let (sigma, d2) = (s / a, data * data);
                let sum = sigma * sigma + d2;
                d2 / sum * x / a + sigma * data / sum.sqrt() * value
            }
        }
    }

    /// The quantity's value for an image.
    pub fn of_x0(self, x0: f64, x: f64, a: f64, s: f64) -> f64 {
        let eps = (x - a * x0) / s;
        match self {
            Self::Eps => eps,
            Self::X0 => x0,
            Self::V => (a * eps - s * x0) / a.hypot(s),
            Self::Score => -eps / s,
            Self::F(data) => {
                let (sigma, d2) = (s / a, data * data);
                let sum = sigma * sigma + d2;
                (x0 - d2 / sum * x / a) * sum.sqrt() / (sigma * data)
            }
        }
    }
}
