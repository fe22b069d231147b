//! Flags of solvers, shared by the verbs that make programs.

use undiffuse::diffusion::sampler::{Corrector, ErrorControl, Predictor, SolverOptions};

#[derive(clap::Args)]
pub struct Solver {
    /// Relative tolerance of an adaptive sampler [default: 1e-5 of rk45, 0.05 of dpm_adaptive]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    rtol: Option<f64>,
    /// Absolute tolerance of an adaptive sampler [default: 1e-5 of rk45, 0.0078 of dpm_adaptive]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    atol: Option<f64>,
    /// Whose error decides over an adaptive step, and whose norms over Langevin's: `per-image`, or
    /// `batch` as in papers (an image then depends on its batch) [default: per-image]
    #[arg(long, value_name = "per-image|batch")]
    error_control: Option<ErrorControl>,
    /// The predictor of pc: euler_maruyama, reverse_diffusion or ancestral [default: reverse_diffusion]
    #[arg(long, value_name = "NAME")]
    predictor: Option<Predictor>,
    /// The corrector of pc: langevin, ald (annealed) or none [default: langevin]
    #[arg(long, value_name = "NAME")]
    corrector: Option<Corrector>,
    /// The corrector's ratio of noise to score [default: the model's, or 0.16]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    snr: Option<f64>,
    /// Corrections per step [default: the model's, or 1]
    #[arg(long, value_name = "N")]
    corrector_steps: Option<usize>,
    /// euler_maruyama, reverse_diffusion and pc take the probability flow, not the reverse SDE
    #[arg(long)]
    probability_flow: bool,
    /// The measurement's share in what ddrm makes of it, 0 to 1 [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    eta_b: Option<f64>,
    /// The steps by which repaint goes back up [default: 10]
    #[arg(long, value_name = "N")]
    jump_length: Option<usize>,
    /// How often repaint comes to a level from which it goes back [default: 10]
    #[arg(long, value_name = "N")]
    jump_n_sample: Option<usize>,
}

impl Solver {
    /// What the flags say, and `base` where they say nothing.
    pub fn over(&self, base: SolverOptions) -> SolverOptions {
        SolverOptions {
            rtol: self.rtol.or(base.rtol),
            atol: self.atol.or(base.atol),
            error_control: self.error_control.unwrap_or(base.error_control),
            predictor: self.predictor.or(base.predictor),
            corrector: self.corrector.or(base.corrector),
            snr: self.snr.or(base.snr),
            corrector_steps: self.corrector_steps.or(base.corrector_steps),
            probability_flow: self.probability_flow || base.probability_flow,
            eta_b: self.eta_b.or(base.eta_b),
            jump_length: self.jump_length.or(base.jump_length),
            jump_n_sample: self.jump_n_sample.or(base.jump_n_sample),
        }
    }
}
