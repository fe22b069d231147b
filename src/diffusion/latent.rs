//! The diffusions of LSGM's prior (Vahdat et al. 2021, arXiv:2106.05931, appendix B), f64.
//!
//! `dz = f(t) z dt + g(t) dw` with time 0 to 1; `var(t)` is the variance of the noise, begun at
//! `sigma2_0`.

/// A diffusion by its `sde_type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LatentSde {
    /// `vpsde`: beta linear.
    Vp {
        /// beta(0).
        beta_start: f64,
        /// beta(1).
        beta_end: f64,
        /// The variance at time 0.
        sigma2_0: f64,
    },
    /// `sub_vpsde`.
    SubVp {
        /// beta(0).
        beta_start: f64,
        /// beta(1).
        beta_end: f64,
        /// The variance at time 0.
        sigma2_0: f64,
    },
    /// `vesde`: the variance grows geometrically.
    Ve {
        /// The least variance.
        sigma2_min: f64,
        /// The most.
        sigma2_max: f64,
        /// The variance at time 0.
        sigma2_0: f64,
    },
    /// `geometric_sde`: variance preserving, the variance growing geometrically.
    Geometric {
        /// The least variance.
        sigma2_min: f64,
        /// The most.
        sigma2_max: f64,
        /// The variance at time 0.
        sigma2_0: f64,
    },
}

impl LatentSde {
    /// beta of those that have one.
    fn beta(start: f64, end: f64, t: f64) -> f64 {
        start + (end - start) * t
    }

    /// The integral of beta.
    fn integral(start: f64, end: f64, t: f64) -> f64 {
        start * t + 0.5 * (end - start) * t * t
    }

    /// The variance of the noise.
    pub fn variance(&self, t: f64) -> f64 {
        match *self {
            // 1 - (1 - s0) exp(-I)
            Self::Vp { beta_start, beta_end, sigma2_0 } => {
                let i = Self::integral(beta_start, beta_end, t);
                -(-i).exp_m1() + sigma2_0 * (-i).exp()
            }
            Self::SubVp { beta_start, beta_end, sigma2_0 } => {
                let i = Self::integral(beta_start, beta_end, t);
                (-i).exp_m1().powi(2) + sigma2_0 * (-i).exp()
            }
            Self::Ve { sigma2_min, sigma2_max, sigma2_0 }
            | Self::Geometric { sigma2_min, sigma2_max, sigma2_0 } => {
                sigma2_min * (t * (sigma2_max / sigma2_min).ln()).exp_m1() + sigma2_0
            }
        }
    }

    /// [`LatentSde::variance`] as the reference computes it, in f32 by its own formula: at
    /// t = 1e-5 that is wrong by some percent, which its published samples contain.
    pub fn variance_single(&self, t: f64) -> f64 {
        let t = t as f32;
        let integral =
            |start: f64, end: f64| (-(start as f32) * t - 0.5 * (end - start) as f32 * t * t).exp();
        let single = match *self {
            Self::Vp { beta_start, beta_end, sigma2_0 } => {
                1.0 - (1.0 - sigma2_0) as f32 * integral(beta_start, beta_end)
            }
            Self::SubVp { beta_start, beta_end, sigma2_0 } => {
                let kept = integral(beta_start, beta_end);
                (1.0 - kept) * (1.0 - kept) + sigma2_0 as f32 * kept
            }
            Self::Ve { sigma2_min, sigma2_max, sigma2_0 }
            | Self::Geometric { sigma2_min, sigma2_max, sigma2_0 } => {
                let ratio = (sigma2_max / sigma2_min) as f32;
                sigma2_min as f32 * ratio.powf(t) - sigma2_min as f32 + sigma2_0 as f32
            }
        };
        f64::from(single)
    }

    /// `f(t)`.
    pub fn drift(&self, t: f64) -> f64 {
        match *self {
            Self::Vp { beta_start, beta_end, .. } | Self::SubVp { beta_start, beta_end, .. } => {
                -0.5 * Self::beta(beta_start, beta_end, t)
            }
            Self::Ve { .. } => 0.0,
            Self::Geometric { .. } => -0.5 * self.diffusion2(t),
        }
    }

    /// `g(t)^2`.
    pub fn diffusion2(&self, t: f64) -> f64 {
        match *self {
            Self::Vp { beta_start, beta_end, .. } => Self::beta(beta_start, beta_end, t),
            Self::SubVp { beta_start, beta_end, .. } => {
                let twice = 2.0 * Self::integral(beta_start, beta_end, t);
                -Self::beta(beta_start, beta_end, t) * (-twice).exp_m1()
            }
            Self::Ve { sigma2_min, sigma2_max, .. } => {
                let log = (sigma2_max / sigma2_min).ln();
                sigma2_min * log * (t * log).exp()
            }
            Self::Geometric { sigma2_min, sigma2_max, sigma2_0 } => {
                let log = (sigma2_max / sigma2_min).ln();
                let sigma2 = sigma2_min * (t * log).exp();
                sigma2 * log / (1.0 - sigma2_0 + sigma2_min - sigma2)
            }
        }
    }

    /// The factor of `(1 - a) x` in the mixed prediction of the noise (appendix B.3).
    pub fn mixing(&self, t: f64) -> f64 {
        let deviation = self.variance(t).sqrt();
        match *self {
            Self::Vp { .. } | Self::Geometric { .. } => deviation,
            Self::SubVp { beta_start, beta_end, .. } => {
                let kept = (-Self::integral(beta_start, beta_end, t)).exp();
                deviation / ((1.0 - kept).powi(2) + kept)
            }
            Self::Ve { sigma2_min, sigma2_max, .. } => {
                deviation / (sigma2_min * (t * (sigma2_max / sigma2_min).ln()).exp_m1() + 1.0)
            }
        }
    }

    /// The deviation of the latents at time 1.
    pub fn prior(&self) -> f64 {
        match *self {
            Self::Ve { sigma2_max, .. } => sigma2_max.sqrt(),
            _ => 1.0,
        }
    }
}
