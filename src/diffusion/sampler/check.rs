//! What a sampler or a model does not take is refused by name, never ignored.

use super::super::timesteps::Steps;
use super::super::Error;
use super::{Context, ErrorControl, Sampler};

/// The samplers that take churn.
const CHURN: &[Sampler] = &[Sampler::Euler, Sampler::EdmEuler];

impl Sampler {
    /// Models that have samplers of their own take no others.
    pub(super) fn check_system(self, context: &Context<'_>) -> Result<(), Error> {
        let Some(system) = &context.config.system else { return Ok(()) };
        let own = Self::of_system(system);
        if own.contains(&self) {
            return Ok(());
        }
        let names: Vec<&str> = own.iter().map(|s| s.name()).collect();
        Err(Error::option("sampler", self.name(), format!("this model takes {}", names.join(", "))))
    }

    /// Options that this sampler would ignore are refused.
    pub(super) fn check_options(self, context: &Context<'_>) -> Result<(), Error> {
        let refuse = |option, value: String, who: &str| {
            let need = format!("{} has no {option}; leave it out or choose {who}", self.name());
            Err(Error::option(option, value, need))
        };
        if let (Some(eta), false) =
            (context.eta, matches!(self, Self::Ddim | Self::Ddnm | Self::Ddrm | Self::RePaint))
        {
            return refuse("eta", eta.to_string(), "ddim");
        }
        if context.clipped_output && self != Self::Ddim {
            return refuse("use_clipped_model_output", "true".into(), "ddim");
        }
        if let (Some(order), false) = (context.order, self == Self::Lms) {
            return refuse("order", order.to_string(), "lms");
        }
        if context.restoration.is_some() && !self.restores() {
            let names: Vec<&str> = Self::all().filter(|s| s.restores()).map(Self::name).collect();
            let need = format!("{} does not restore; choose {}", self.name(), names.join(", "));
            return Err(Error::option("sampler", self.name(), need));
        }
        self.check_steps(context)?;
        self.check_solver_options(context)?;
        if context.churn.is_some() && !CHURN.contains(&self) {
            return refuse("s_churn", "given".into(), "euler");
        }
        Ok(())
    }

    /// Lists of steps, of samplers that choose their own.
    fn check_steps(self, context: &Context<'_>) -> Result<(), Error> {
        let option = match context.steps {
            Steps::Count(_) => return Ok(()),
            _ if self.takes_lists() => return Ok(()),
            Steps::At(_) => "timesteps",
            Steps::Sigmas(_) => "sigmas",
        };
        let instead = if self.is_adaptive() { "--rtol and --atol" } else { "a number of steps" };
        let need = format!("{} spreads its times itself: give {instead}", self.name());
        Err(Error::option(option, "a list", need))
    }

    /// Options of [`SolverOptions`](super::SolverOptions), and models without betas.
    fn check_solver_options(self, context: &Context<'_>) -> Result<(), Error> {
        use Sampler::*;
        let o = &context.options;
        let predicts = matches!(self, EulerMaruyama | ReverseDiffusion | Pc);
        let checks = [
            ("rtol", o.rtol.is_some(), self.is_adaptive(), "rk45 or dpm_adaptive"),
            ("atol", o.atol.is_some(), self.is_adaptive(), "rk45 or dpm_adaptive"),
            (
                "error-control",
                o.error_control == ErrorControl::Batch,
                self.is_adaptive() || self == Pc,
                "rk45, dpm_adaptive or pc",
            ),
            ("eta-b", o.eta_b.is_some(), self == Ddrm, "ddrm"),
            ("jump-length", o.jump_length.is_some(), self == RePaint, "repaint"),
            ("jump-n-sample", o.jump_n_sample.is_some(), self == RePaint, "repaint"),
            ("predictor", o.predictor.is_some(), self == Pc, "pc"),
            ("corrector", o.corrector.is_some(), self == Pc, "pc"),
            ("snr", o.snr.is_some(), self == Pc, "pc"),
            ("corrector-steps", o.corrector_steps.is_some(), self == Pc, "pc"),
            ("probability-flow", o.probability_flow, predicts, "reverse_diffusion, euler_maruyama or pc"),
        ];
        for (option, given, taken, who) in checks {
            if given && !taken {
                let need = format!("{} has no {option}; leave it out or choose {who}", self.name());
                return Err(Error::option(option, "given", need));
            }
        }
        if context.config.edm && !matches!(self, EdmEuler | EdmDpm) && !self.is_continuous() {
            let need =
                "the model is in EDM's parametrisation; choose edm_euler, edm_dpm or one in continuous \
                        time, as rk45";
            return Err(Error::option("sampler", self.name(), need));
        }
        let chain = context.config.trained_betas.is_some();
        if context.config.continuous.is_some() && !chain && !self.is_continuous() {
            let names: Vec<_> = Self::all().filter(|s| s.is_continuous()).map(Self::name).collect();
            let need =
                format!("the model was trained in continuous time; choose one of {}", names.join(", "));
            return Err(Error::option("sampler", self.name(), need));
        }
        Ok(())
    }
}
