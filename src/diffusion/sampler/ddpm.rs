//! DDPM: ancestral sampling (Ho, Jain & Abbeel 2020, arXiv:2006.11239, algorithm
//! 2), with learned variances (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15).
//!
//! From t to s, the next timestep of the list, with `alpha = alpha_bar_t /
//! alpha_bar_s` and `beta = 1 - alpha` (eq. 7):
//!
//! ```text
//! x_s = sqrt(alpha_bar_s) beta / (1 - alpha_bar_t) x0
//!     + sqrt(alpha) (1 - alpha_bar_s) / (1 - alpha_bar_t) x_t + sigma z
//! sigma^2 = (1 - alpha_bar_s) / (1 - alpha_bar_t) beta     (fixed_small)
//!         = beta                                            (fixed_large)
//! ```
//!
//! No noise is added at t = 0. As in diffusers, a last step from t > 0 (with
//! `trailing`, or an offset) does add it where the variance is large or learned.

use super::super::program::{Instruction, Pointwise, Program, Term};
use super::super::scheduler_config::VarianceType;
use super::super::timesteps::{strides_by_list, Stride};
use super::super::Error;
use super::{Context, Sampler, Setup};

/// Posterior variances are not taken for less, as in diffusers.
const MIN_VARIANCE: f64 = 1e-20;

/// The program of DDPM.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let variance_type = context.config.variance_type;
    if variance_type.is_learned() && context.out_channels != 2 * context.shape.c {
        let need = format!(
            "variance_type {} needs {} output channels, image and variance",
            variance_type.name(),
            2 * context.shape.c
        );
        return Err(Error::option("out_channels", context.out_channels, need));
    }
    let mut s = Setup::new(context, sampler, variance_type.is_learned())?;
    let z = s.program.register("z", context.shape);
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());

    for (k, Stride { t, prev }) in strides_by_list(&s.times).into_iter().enumerate() {
        let views = s.views(t)?;
        let step = Posterior::new(s.alpha_bar(t), s.alpha_bar_prev(t, prev, 1.0)?);

        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, out));
        let mut terms = vec![Term::new(step.x0, x0), Term::new(step.x, x)];
        if let Some((scale, sigma)) = step.noise(t, variance_type) {
            list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
            if let (Some(f), Some(variance)) = (sigma, s.model.variance()) {
                list.push(Instruction::Pointwise { dst: variance, f, srcs: vec![variance] });
                list.push(Instruction::Pointwise { dst: z, f: Pointwise::Mul, srcs: vec![z, variance] });
            }
            terms.push(Term::new(scale, z));
        }
        list.push(Instruction::Mix { dst: x, terms, clamp: None });
        s.push(t, list);
    }
    Ok(s.program)
}

/// `q(x_s | x_t, x0)`: the coefficients of its mean, and its variances.
struct Posterior {
    x0: f64,
    x: f64,
    beta: f64,
    variance: f64,
}

impl Posterior {
    fn new(alpha_bar: f64, alpha_bar_prev: f64) -> Self {
        let alpha = alpha_bar / alpha_bar_prev;
        // alpha_bar never increases, so neither difference is negative but by rounding.
        let beta = (1.0 - alpha).max(0.0);
        let (noise, noise_prev) = (1.0 - alpha_bar, (1.0 - alpha_bar_prev).max(0.0));
        if noise <= 0.0 {
            // No noise was left: x0 is all there is.
            return Self { x0: 1.0, x: 0.0, beta: 0.0, variance: MIN_VARIANCE };
        }
        Self {
            x0: alpha_bar_prev.sqrt() * beta / noise,
            x: alpha.sqrt() * noise_prev / noise,
            beta,
            variance: (noise_prev / noise * beta).max(MIN_VARIANCE),
        }
    }

    /// The factor of the noise, and the function of the predicted variance that
    /// it is multiplied with. `None` if no noise is added.
    fn noise(&self, t: usize, variance_type: VarianceType) -> Option<(f64, Option<Pointwise>)> {
        if t == 0 {
            return None;
        }
        let fixed = |variance: f64| (variance > MIN_VARIANCE).then(|| (variance.sqrt(), None));
        match variance_type {
            VarianceType::FixedSmall | VarianceType::FixedSmallLog => fixed(self.variance),
            VarianceType::FixedLarge | VarianceType::FixedLargeLog => fixed(self.beta),
            VarianceType::Learned => Some((1.0, Some(Pointwise::Sqrt))),
            VarianceType::LearnedRange => {
                // v in [-1, 1]: log variance = (v + 1)/2 log(large) + (1 - v)/2 log(small).
                let (small, large) = (self.variance.ln(), self.beta.max(MIN_VARIANCE).ln());
                let (scale, bias) = (0.25 * (large - small), 0.25 * (large + small));
                Some((1.0, Some(Pointwise::Exp { scale, bias })))
            }
        }
    }
}
