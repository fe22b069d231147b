//! What the solvers of differential equations are told by the caller.

use std::str::FromStr;

use super::super::Error;

macro_rules! names {
    ($(#[$doc:meta])* $enum:ident, $option:literal: $($(#[$about:meta])* $variant:ident = $name:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $enum {
            $($(#[$about])* #[serde(rename = $name)] $variant,)*
        }

        impl $enum {
            /// The name on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl FromStr for $enum {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                match name {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(Error::option($option, name, concat!("choose one of", $(" ", $name),*))),
                }
            }
        }
    };
}

names! {
    /// Whose error or norm decides over a step.
    #[derive(Default)]
    ErrorControl, "error-control":
    /// Each image's own: it depends on its seed and index alone.
    #[default]
    PerImage = "per-image",
    /// The whole batch's, as in papers that take it for one vector.
    Batch = "batch",
}

names! {
    /// How a predictor-corrector sampler goes to the next level.
    Predictor, "predictor":
    /// Euler-Maruyama on the reverse SDE.
    EulerMaruyama = "euler_maruyama",
    /// The discrete chain, reversed.
    ReverseDiffusion = "reverse_diffusion",
    /// The discrete chain's ancestral step.
    Ancestral = "ancestral",
}

names! {
    /// What a predictor-corrector sampler does at a level.
    Corrector, "corrector":
    /// Nothing.
    None = "none",
    /// Langevin's steps, their size from the norms of noise and score.
    Langevin = "langevin",
    /// Annealed Langevin's steps, their size from the level's noise.
    Ald = "ald",
}

/// Options of adaptive solvers, of predictor-corrector samplers and of those that restore; `None` is the
/// sampler's or the model's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SolverOptions {
    /// Relative tolerance of adaptive solvers.
    pub rtol: Option<f64>,
    /// Absolute tolerance of adaptive solvers.
    pub atol: Option<f64>,
    /// Whose error decides over adaptive steps, and whose norms over Langevin's.
    pub error_control: ErrorControl,
    /// The predictor of `pc`.
    pub predictor: Option<Predictor>,
    /// The corrector of `pc`.
    pub corrector: Option<Corrector>,
    /// The ratio of noise to score of correctors.
    pub snr: Option<f64>,
    /// Corrections per step.
    pub corrector_steps: Option<usize>,
    /// Predictors take the probability flow in place of the reverse SDE.
    pub probability_flow: bool,
    /// The share of the measurement in what `ddrm` makes of it, 0 to 1.
    pub eta_b: Option<f64>,
    /// The steps by which `repaint` goes back up.
    pub jump_length: Option<usize>,
    /// How often `repaint` comes to a level from which it goes back.
    pub jump_n_sample: Option<usize>,
}

impl SolverOptions {
    /// Tolerances, given or the sampler's.
    ///
    /// # Errors
    /// Tolerances that are not positive, or so small that f32 cannot tell.
    pub(super) fn tolerances(&self, rtol: f64, atol: f64) -> Result<(f64, f64), Error> {
        let (rtol, atol) = (self.rtol.unwrap_or(rtol), self.atol.unwrap_or(atol));
        for (option, value) in [("rtol", rtol), ("atol", atol)] {
            if !(1e-7..=1e3).contains(&value) {
                let need = "choose between 1e-7 (states are f32 numbers) and 1000";
                return Err(Error::option(option, value, need));
            }
        }
        Ok((rtol, atol))
    }
}
