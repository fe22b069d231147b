//! What the network predicts, and the linear maps to x0 and eps.
//!
//! With `x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps` (Ho et al. 2020,
//! arXiv:2006.11239, eq. 4) each parametrisation gives x0 and eps as linear
//! functions of `x_t` and the network's output.

/// What the output of the network stands for (`prediction_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prediction {
    /// The noise eps (Ho et al. 2020, arXiv:2006.11239).
    Epsilon,
    /// The clean image x0.
    Sample,
    /// `v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0` (Salimans & Ho 2022,
    /// arXiv:2202.00512, section 4).
    V,
}

/// `x * x_t + out * output`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// The coefficient of the noisy state.
    pub x: f64,
    /// The coefficient of the network's output.
    pub out: f64,
}

impl Linear {
    /// The value for one element.
    pub fn at(self, x: f64, out: f64) -> f64 {
        self.x * x + self.out * out
    }
}

/// Both views of one prediction at one noise level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Views {
    /// The clean image.
    pub x0: Linear,
    /// The noise.
    pub eps: Linear,
}

impl Prediction {
    /// Every parametrisation.
    pub const ALL: [Prediction; 3] = [Self::Epsilon, Self::Sample, Self::V];

    /// The name in scheduler configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
            Self::V => "v_prediction",
        }
    }

    /// x0 and eps at the noise level `alpha_bar` in `[0, 1]`.
    ///
    /// `None` where x0 does not follow from the output: a predicted eps at
    /// `alpha_bar = 0`, where the state holds nothing of the image. A predicted
    /// x0 at `alpha_bar = 1` says nothing about eps, which is then taken as 0:
    /// nothing noisy is left.
    pub fn views(self, alpha_bar: f64) -> Option<Views> {
        let (a, b) = (alpha_bar.sqrt(), (1.0 - alpha_bar).max(0.0).sqrt());
        Some(match self {
            Self::Epsilon if a == 0.0 => return None,
            Self::Epsilon => {
                Views { x0: Linear { x: 1.0 / a, out: -b / a }, eps: Linear { x: 0.0, out: 1.0 } }
            }
            Self::Sample if b == 0.0 => {
                Views { x0: Linear { x: 0.0, out: 1.0 }, eps: Linear { x: 0.0, out: 0.0 } }
            }
            Self::Sample => {
                Views { x0: Linear { x: 0.0, out: 1.0 }, eps: Linear { x: 1.0 / b, out: -a / b } }
            }
            Self::V => Views { x0: Linear { x: a, out: -b }, eps: Linear { x: b, out: a } },
        })
    }

    /// The output that a perfect network would give for this `x0` and `eps`.
    pub fn target(self, alpha_bar: f64, x0: f64, eps: f64) -> f64 {
        match self {
            Self::Epsilon => eps,
            Self::Sample => x0,
            Self::V => alpha_bar.sqrt() * eps - (1.0 - alpha_bar).max(0.0).sqrt() * x0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_invert_targets() {
        for prediction in Prediction::ALL {
            for alpha_bar in [1e-9, 1e-3, 0.3, 0.9, 0.9999] {
                let (x0, eps) = (0.7, -1.3);
                let x = f64::sqrt(alpha_bar) * x0 + f64::sqrt(1.0 - alpha_bar) * eps;
                let out = prediction.target(alpha_bar, x0, eps);
                let views = prediction.views(alpha_bar).unwrap();
                assert!((views.x0.at(x, out) - x0).abs() < 1e-9, "{prediction:?} {alpha_bar}");
                assert!((views.eps.at(x, out) - eps).abs() < 1e-9, "{prediction:?} {alpha_bar}");
            }
        }
    }

    #[test]
    fn the_ends_are_finite_or_refused() {
        for prediction in Prediction::ALL {
            let start = prediction.views(0.0);
            assert_eq!(start.is_none(), prediction == Prediction::Epsilon);
            for v in start.into_iter().chain(prediction.views(1.0)) {
                assert!([v.x0.x, v.x0.out, v.eps.x, v.eps.out].iter().all(|c| c.is_finite()));
            }
        }
        assert_eq!(Prediction::V.views(0.0).unwrap().x0, Linear { x: 0.0, out: -1.0 });
    }
}
