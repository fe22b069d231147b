//! Critically damped Langevin diffusion (Dockhorn et al. 2022, arXiv:2112.07068), f64.
//!
//! Data `x` and velocities `v`, with noise in `v` alone (eq. 5 and 6):
//!
//! ```text
//! dx = beta v / M dt,    dv = -beta x dt - Gamma beta v / M dt + sqrt(2 Gamma beta) dw
//! ```
//!
//! at `Gamma^2 = 4 M`. `beta(t) = beta0 + beta1 t`, and `B(t)` is its integral. The
//! perturbation kernel is Gaussian in each pair `(x, v)` (appendix B.1).

/// The process. Time is 0 (data) to 1 (noise).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cld {
    /// beta(0).
    pub beta0: f64,
    /// The slope of beta.
    pub beta1: f64,
    /// `1 / M`, M the mass.
    pub m_inv: f64,
    /// Variance of the velocities at time 0, as a part of the mass.
    pub gamma: f64,
    /// Added to both variances (`numerical_eps`).
    pub eps: f64,
    /// The score model was trained with velocities integrated out (hybrid score matching),
    /// else with each pair's own (denoising score matching).
    pub hybrid: bool,
    /// The network predicts what is left of the score of a normal velocity.
    pub mixed_score: bool,
}

/// A symmetric 2 x 2 matrix over `(x, v)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Covariance {
    /// Variance of x.
    pub xx: f64,
    /// Covariance of x and v.
    pub xv: f64,
    /// Variance of v.
    pub vv: f64,
}

/// A lower triangular 2 x 2 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cholesky {
    /// Of x, in x.
    pub xx: f64,
    /// Of v, in x.
    pub vx: f64,
    /// Of v, in v.
    pub vv: f64,
}

impl Covariance {
    /// `L` with `L L^T` this matrix. Where rounding left no variance, it is none.
    pub fn cholesky(self) -> Cholesky {
        let xx = self.xx.max(0.0).sqrt();
        let vx = if xx > 0.0 { self.xv / xx } else { 0.0 };
        Cholesky { xx, vx, vv: (self.vv - vx * vx).max(0.0).sqrt() }
    }
}

impl Cld {
    /// beta(t).
    pub fn beta(&self, t: f64) -> f64 {
        self.beta0 + self.beta1 * t
    }

    /// The integral of beta from 0 to t.
    pub fn integral(&self, t: f64) -> f64 {
        self.beta0 * t + 0.5 * self.beta1 * t * t
    }

    /// Friction `Gamma`, critical.
    pub fn friction(&self) -> f64 {
        2.0 / self.m_inv.sqrt()
    }

    /// The mean of `(x_t, v_t)`: factors of `x_0` and `v_0` in each, `[[xx, xv], [vx, vv]]`.
    pub fn mean(&self, t: f64) -> [[f64; 2]; 2] {
        let (b, g) = (self.integral(t), 1.0 / self.friction());
        let c = (-2.0 * b * g).exp();
        [[c * (2.0 * b * g + 1.0), c * 4.0 * b * g * g], [-c * b, c * (1.0 - 2.0 * b * g)]]
    }

    /// The covariance at t from variances `sx` and `sv` at time 0.
    pub fn covariance(&self, t: f64, sx: f64, sv: f64) -> Covariance {
        let (b, f) = (self.integral(t), self.friction());
        let g = 1.0 / f;
        // (1 / E - 1) cancels at small t.
        let (e, growth) = ((-4.0 * b * g).exp(), (4.0 * b * g).exp_m1());
        let (b2, g2) = (b * b, g * g);
        let xx =
            sx + growth + 4.0 * b * g * (sx - 1.0) + 4.0 * b2 * g2 * (sx - 2.0) + 16.0 * g2 * g2 * b2 * sv;
        let xv = -sx * b + 4.0 * g2 * b * sv - 2.0 * g * b2 * (sx - 2.0) - 8.0 * g2 * g * b2 * sv;
        let vv = f * f * growth / 4.0 + f * b - 4.0 * g * b * sv + 4.0 * g2 * b2 * sv + sv + b2 * (sx - 2.0);
        Covariance { xx: e * xx + self.eps, xv: e * xv, vv: e * vv + self.eps }
    }

    /// The variance of velocities at time 0.
    pub fn first_velocity(&self) -> f64 {
        self.gamma / self.m_inv
    }

    /// The covariance of the kernel that the score model was trained with.
    pub fn kernel(&self, t: f64) -> Covariance {
        self.covariance(t, 0.0, if self.hybrid { self.first_velocity() } else { 0.0 })
    }

    /// The variance of v in a mixed score.
    pub fn mixed_variance(&self, t: f64) -> f64 {
        self.covariance(t, 0.0, self.first_velocity()).vv
    }

    /// The score in v, `grad_v log p_t`: factors of `v` and of the network's output (section 3.3).
    pub fn score(&self, t: f64) -> (f64, f64) {
        let s = self.kernel(t);
        let ell = (s.xx / (s.xx * s.vv - s.xv * s.xv)).sqrt();
        (if self.mixed_score { -1.0 / self.mixed_variance(t) } else { 0.0 }, -ell)
    }

    /// The exact solution, over the time `h` backwards from t, of the part of the reverse process
    /// that has no network (appendix D): factors as of [`Cld::mean`] and the noise's covariance,
    /// to whose variances `stabilise` is added.
    pub fn analytic(&self, t: f64, h: f64, stabilise: f64) -> ([[f64; 2]; 2], Covariance) {
        let (b, f) = (self.integral(t - h) - self.integral(t), self.friction());
        let g = 1.0 / f;
        let (c, q) = ((2.0 * g * b).exp(), (4.0 * g * b).exp());
        let growth = (-4.0 * g * b).exp_m1();
        let mean = [[c * (1.0 - 2.0 * g * b), c * 4.0 * g * g * b], [-c * b, c * (1.0 + 2.0 * g * b)]];
        let covariance = Covariance {
            xx: q * (growth + 4.0 * b * g - 8.0 * g * g * b * b) + stabilise,
            xv: -q * 4.0 * g * b * b,
            vv: q * (f * f * growth / 4.0 - f * b - 2.0 * b * b) + stabilise,
        };
        (mean, covariance)
    }
}
