//! Samplers: one file each, one page of host mathematics that returns a program.
//!
//! In every program the register `x` is the state and the output: after step k it
//! is what diffusers calls `prev_sample`. The initial noise is draw 0, the noise of
//! step k (from 0) is draw k + 1. The register `x0` holds the predicted image
//! after each step, for previews.
//!
//! To add a sampler: one file, its `mod`, and one row in `samplers!`.

mod adaptive;
pub mod ancestral;
mod check;
pub mod cld_em;
pub mod cld_ode;
pub mod custom;
pub mod ddgan;
pub mod ddim;
pub mod ddim_inverse;
pub mod ddnm;
pub mod ddpm;
pub mod ddrm;
pub mod deis;
mod denoise;
pub mod dpm2;
pub mod dpm2_a;
pub mod dpm_adaptive;
pub mod dpm_multistep;
pub mod dpm_singlestep;
pub mod draft;
pub mod edm_dpm;
pub mod edm_euler;
mod equation;
pub mod euler;
pub mod euler_a;
pub mod euler_maruyama;
mod exponential;
pub mod flow;
pub mod flow_heun;
pub mod heun;
mod langevin;
mod latent;
pub mod lcm;
pub mod lms;
pub mod lsgm_ancestral;
pub mod lsgm_ode;
pub mod options;
pub mod pc;
pub mod pndm;
mod projection;
pub mod repaint;
pub mod reverse_diffusion;
pub mod rk4;
pub mod rk45;
mod setup;
mod solve;
pub mod sscs;
mod tabled;
pub mod unipc;
mod view;
mod view_flow;

pub use options::{Corrector, ErrorControl, Predictor, SolverOptions};

pub use custom::Custom;
pub use draft::Draft;

use std::str::FromStr;

use super::guidance::Conditioning;
use super::linear::Restoration;
use super::program::Program;
use super::system::{CldMethod, System};
use super::timesteps::Steps;
use super::{Error, SchedulerConfig, Spread};
use crate::shape::Shape;
use setup::{Begun, Setup};

/// One row a sampler: variant, name on the command line, file, diffusers' class
/// (of several with one class, the first), steps by default (0: all) and a line
/// of help.
macro_rules! samplers {
    ($($variant:ident, $name:literal, $file:ident, $class:literal, $steps:literal, $about:literal;)*) => {
        /// Every sampler.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Sampler {
            $(#[doc = concat!("`", $name, "`: ", $about, " ([`", stringify!($file), "`])")] $variant,)*
            /// One that the application brought ([`Sampler::register`]).
            Custom(Custom),
        }

        /// The samplers of this library, in order.
        const OWN: &[Sampler] = &[$(Sampler::$variant,)*];

        impl Sampler {
            fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => {
                        static ROW: Row = Row {
                            name: $name,
                            class: $class,
                            steps: $steps,
                            about: $about,
                            source: include_str!(concat!(stringify!($file), ".rs")),
                            program: &$file::program,
                        };
                        &ROW
                    })*
                    Self::Custom(custom) => custom.row(),
                }
            }
        }
    };
}

samplers! {
    Ddpm, "ddpm", ddpm, "DDPMScheduler", 0, "ancestral sampling (Ho et al. 2020); wants hundreds of steps";
    Ddim, "ddim", ddim, "DDIMScheduler", 50,
        "implicit sampling (Song et al. 2020); 20 to 100 steps, deterministic at eta 0";
    DdimInverse, "ddim_inverse", ddim_inverse, "DDIMInverseScheduler", 50,
        "from an image to its noise, by DDIM run backwards (for embedders)";
    Euler, "euler", euler, "EulerDiscreteScheduler", 30, "Euler's method on the flow (Karras et al. 2022), with churn";
    EulerA, "euler_a", euler_a, "EulerAncestralDiscreteScheduler", 30, "Euler's method with fresh noise at each step";
    Heun, "heun", heun, "HeunDiscreteScheduler", 20, "Heun's method on the flow, two evaluations a step";
    Dpm2, "dpm2", dpm2, "KDPM2DiscreteScheduler", 20, "the midpoint method on the flow, two evaluations a step";
    Dpm2A, "dpm2_a", dpm2_a, "KDPM2AncestralDiscreteScheduler", 20, "the midpoint method with fresh noise";
    Lms, "lms", lms, "LMSDiscreteScheduler", 30, "linear multistep of order 4";
    Pndm, "pndm", pndm, "PNDMScheduler", 50, "pseudo numerical methods (Liu et al. 2022)";
    DpmMultistep, "dpm_multistep", dpm_multistep, "DPMSolverMultistepScheduler", 20,
        "DPM-Solver, multistep, of the order and equation in the model's file";
    Dpmpp2m, "dpmpp_2m", dpm_multistep, "", 20, "DPM-Solver++ (Lu et al. 2022), multistep, order 2";
    Dpmpp2mSde, "dpmpp_2m_sde", dpm_multistep, "", 20, "the same for the reverse SDE";
    Dpmpp3m, "dpmpp_3m", dpm_multistep, "", 20, "DPM-Solver++, multistep, order 3";
    DpmSinglestep, "dpm_singlestep", dpm_singlestep, "DPMSolverSinglestepScheduler", 20,
        "DPM-Solver, single step, of the order and equation in the model's file";
    Dpmpp2s, "dpmpp_2s", dpm_singlestep, "", 20, "DPM-Solver++, single step, order 2";
    UniPc, "unipc", unipc, "UniPCMultistepScheduler", 20, "UniPC (Zhao et al. 2023), predictor and corrector";
    Deis, "deis", deis, "DEISMultistepScheduler", 20, "DEIS (Zhang & Chen 2022), multistep in log rho";
    Lcm, "lcm", lcm, "LCMScheduler", 4, "latent consistency models (Luo et al. 2023)";
    EdmEuler, "edm_euler", edm_euler, "EDMEulerScheduler", 30, "Euler's method for models in EDM's parametrisation";
    EdmDpm, "edm_dpm", edm_dpm, "EDMDPMSolverMultistepScheduler", 20,
        "DPM-Solver++, multistep, for models in EDM's parametrisation";
    EulerMaruyama, "euler_maruyama", euler_maruyama, "", 0, "the reverse SDE by Euler-Maruyama (Song et al. 2021)";
    ReverseDiffusion, "reverse_diffusion", reverse_diffusion, "", 0, "the reversed chain of the forward SDE (Song et al. 2021)";
    Ancestral, "ancestral", ancestral, "", 0, "the ancestral chain of a VP or VE model, by its score (Song et al. 2021)";
    Pc, "pc", pc, "ScoreSdeVeScheduler", 0, "predictor and Langevin corrector (Song et al. 2021)";
    Rk4, "rk4", rk4, "", 20, "Runge-Kutta of order 4 on the probability flow, four evaluations a step";
    FlowHeun, "flow_heun", flow_heun, "", 30, "Heun's method on the probability flow in the model's time";
    Rk45, "rk45", rk45, "", 1, "adaptive Dormand-Prince 5(4) on the probability flow: --rtol, --atol";
    DpmAdaptive, "dpm_adaptive", dpm_adaptive, "", 1, "DPM-Solver-23 with adaptive steps (Lu et al. 2022): --rtol, --atol";
    DpmAdaptive12, "dpm_adaptive_12", dpm_adaptive, "", 1, "DPM-Solver-12 with adaptive steps";
    Ddnm, "ddnm", ddnm, "", 100, "restoration by the null space (Wang et al. 2022), of degraded pictures";
    Ddrm, "ddrm", ddrm, "", 20,
        "restoration by singular values (Kawar et al. 2022), of degraded pictures, noisy ones too: --eta-b";
    RePaint, "repaint", repaint, "", 100,
        "inpainting by resampling (Lugmayr et al. 2022): --jump-length, --jump-n-sample";
    Ddgan, "ddgan", ddgan, "", 0, "the steps of a denoising diffusion GAN (Xiao et al. 2022), as many as it was trained for";
    Sscs, "sscs", sscs, "", 0, "symmetric splitting, for critically damped Langevin models (Dockhorn et al. 2022)";
    CldEm, "cld_em", cld_em, "", 0, "Euler-Maruyama, for critically damped Langevin models";
    CldOde, "cld_ode", cld_ode, "", 50,
        "the probability flow of critically damped Langevin models, four evaluations a step";
    LsgmOde, "lsgm_ode", lsgm_ode, "", 50,
        "the probability flow of latent score-based models (Vahdat et al. 2021), four evaluations a step, and the decoder";
    LsgmAncestral, "lsgm_ancestral", lsgm_ancestral, "", 0,
        "ancestral sampling of latent score-based models, and the decoder";
}

/// What is known of a sampler.
struct Row {
    name: &'static str,
    class: &'static str,
    steps: usize,
    about: &'static str,
    source: &'static str,
    program: &'static Write,
}

/// Writes a sampler's program.
type Write = dyn Fn(&Context<'_>, Sampler) -> Result<Program, Error> + Send + Sync;

impl Sampler {
    /// Every sampler of this library, in the order that help lists them.
    pub fn all() -> impl Iterator<Item = Sampler> {
        OWN.iter().copied()
    }

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// One line of help.
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// The steps of a user who names none, of a model with `train` timesteps.
    pub fn default_steps(self, train: usize) -> usize {
        match self.row().steps {
            0 => train,
            steps => train.min(steps),
        }
    }

    /// Whether it chooses its steps itself.
    pub const fn is_adaptive(self) -> bool {
        matches!(self, Self::Rk45 | Self::DpmAdaptive | Self::DpmAdaptive12)
    }

    /// Whether it solves a differential equation in continuous time ([`Continuous`](super::Continuous)).
    pub const fn is_continuous(self) -> bool {
        use Sampler::*;
        self.is_adaptive()
            || matches!(self, EulerMaruyama | ReverseDiffusion | Ancestral | Pc | Rk4 | FlowHeun)
    }

    /// Tolerances, given, the model's or the sampler's: relative and absolute.
    pub fn tolerances(self, config: &SchedulerConfig, options: &SolverOptions) -> (f64, f64) {
        let (rtol, atol) = match (self, &config.system) {
            (Self::Rk45, Some(system)) => system.tolerances().unwrap_or(rk45::TOLERANCES),
            (Self::Rk45, None) => rk45::TOLERANCES,
            _ => dpm_adaptive::TOLERANCES,
        };
        (options.rtol.unwrap_or(rtol), options.atol.unwrap_or(atol))
    }

    /// The sampler of a diffusers scheduler class (`_class_name`), if it is here.
    pub fn from_class_name(class: &str) -> Option<Self> {
        Self::all().find(|s| s.row().class == class && !class.is_empty())
    }

    /// Whether it can spread its steps so.
    pub fn follows(self, spread: Spread) -> bool {
        match self {
            // These have grids of their own.
            sampler if sampler.is_continuous() || sampler.of_one_system() => false,
            Self::Lcm => false,
            Self::EdmEuler | Self::EdmDpm => matches!(spread, Spread::Karras | Spread::Exponential),
            // These go by whole timesteps.
            Self::Ddpm | Self::Ddim | Self::DdimInverse | Self::Pndm | Self::Custom(_) => !spread.is_levels(),
            _ => true,
        }
    }

    /// Whether it can be told which timesteps or noise levels to visit.
    pub fn takes_lists(self) -> bool {
        let own = matches!(self, Self::Lcm | Self::Pndm | Self::DdimInverse);
        !own && !self.is_continuous() && !self.of_one_system()
    }

    /// The text of the sampler's file.
    pub fn source(self) -> &'static str {
        self.row().source
    }

    /// The head of its file: paper, equations, what differs from them.
    pub fn paper(self) -> String {
        let head = self.source().lines().take_while(|l| l.starts_with("//!"));
        let plain = head.map(|l| l.trim_start_matches("//!").trim_start_matches(' ').to_string());
        plain.filter(|l| !l.starts_with("```")).collect::<Vec<_>>().join("\n")
    }

    /// The program of this sampler, validated.
    ///
    /// # Errors
    /// Options and configurations that the sampler has not or cannot follow.
    pub fn program(self, context: &Context<'_>) -> Result<Program, Error> {
        self.check_system(context)?;
        self.check_options(context)?;
        let program = (self.row().program)(context, self)?;
        program.validate()?;
        Ok(program)
    }

    /// The samplers of a system, the one of its reference first; none for a model that a
    /// scheduler's configuration describes.
    pub fn of_system(system: &System) -> &'static [Sampler] {
        match system {
            System::Ddgan(_) => &[Self::Ddgan],
            System::Cld(of) => match of.method {
                CldMethod::Sscs => &[Self::Sscs, Self::CldEm, Self::Rk45, Self::CldOde],
                CldMethod::Em => &[Self::CldEm, Self::Sscs, Self::Rk45, Self::CldOde],
                CldMethod::Ode => &[Self::Rk45, Self::CldOde, Self::Sscs, Self::CldEm],
            },
            System::Lsgm(_) => &[Self::Rk45, Self::LsgmOde, Self::LsgmAncestral],
        }
    }

    /// Whether it can restore a degraded picture ([`Context::restoration`]).
    pub fn restores(self) -> bool {
        self.only_restores() || self == Self::Pc
    }

    /// Whether it restores degraded pictures and draws nothing else.
    pub fn only_restores(self) -> bool {
        matches!(self, Self::Ddnm | Self::Ddrm | Self::RePaint)
    }

    /// Whether it is of one system alone: its models take it, and no others do.
    pub fn of_one_system(self) -> bool {
        use Sampler::*;
        matches!(self, Ddgan | Sscs | CldEm | CldOde | LsgmOde | LsgmAncestral)
    }

    /// The refusal of a model of another system.
    fn not_for_this_model(self) -> Error {
        Error::option("sampler", self.name(), format!("it is {}; this model is another", self.about()))
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::all().chain(Custom::all()).find(|s| s.name() == name).ok_or_else(|| {
            let names = Self::all().map(Self::name).collect::<Vec<_>>().join(", ");
            Error::option("sampler", name, format!("choose one of {names}"))
        })
    }
}

/// What a sampler is told.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The model's scheduler configuration.
    pub config: &'a SchedulerConfig,
    /// How many steps, or which timesteps.
    pub steps: Steps,
    /// The shape of the state.
    pub shape: Shape,
    /// Channels of the network's output: those of the state, or twice as many,
    /// the second half being the variance (ignored by samplers that have their own).
    pub out_channels: usize,
    /// What the network is conditioned on.
    pub conditioning: Conditioning,
    /// The scale of classifier-free guidance; 1 is none.
    pub guidance_scale: f64,
    /// DDIM's stochasticity; `None` is the sampler's default.
    pub eta: Option<f64>,
    /// DDIM takes the noise that belongs to x0 after clamp or threshold, not the
    /// one predicted (diffusers' `use_clipped_model_output`).
    pub clipped_output: bool,
    /// Noise that is added between the steps of a deterministic solver.
    pub churn: Option<Churn>,
    /// The order of `lms` (`order` of diffusers' `step`); `None` is 4.
    pub order: Option<usize>,
    /// The degraded picture that is to be restored, of a sampler that does so.
    pub restoration: Option<&'a Restoration>,
    /// What solvers in continuous time are told.
    pub options: SolverOptions,
    /// Take alpha_bar rounded to f32, as diffusers does ([`Schedule::single`](super::Schedule::single)).
    pub single: bool,
}

impl<'a> Context<'a> {
    /// The degraded picture, which a sampler that restores must have.
    fn task(&self, sampler: Sampler) -> Result<&'a Restoration, Error> {
        let Some(task) = self.restoration else {
            let need = "it restores a degraded picture: give one, as the verbs inpaint and superres do";
            return Err(Error::option("sampler", sampler.name(), need));
        };
        task.check(self.shape)?;
        Ok(task)
    }

    /// An unconditional network with as many output channels as the state has.
    pub fn new(config: &'a SchedulerConfig, shape: Shape, steps: impl Into<Steps>) -> Self {
        Self {
            config,
            steps: steps.into(),
            shape,
            out_channels: shape.c,
            conditioning: Conditioning::None,
            guidance_scale: 1.0,
            eta: None,
            clipped_output: false,
            churn: None,
            order: None,
            restoration: None,
            options: SolverOptions::default(),
            single: false,
        }
    }
}

/// Churn (Karras et al. 2022, arXiv:2206.00364, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Churn {
    /// How much noise is added over all steps.
    pub s_churn: f64,
    /// Not below this level.
    pub s_tmin: f64,
    /// Not above this level.
    pub s_tmax: f64,
    /// The deviation of the added noise.
    pub s_noise: f64,
}

impl Default for Churn {
    fn default() -> Self {
        Self { s_churn: 0.0, s_tmin: 0.0, s_tmax: f64::INFINITY, s_noise: 1.0 }
    }
}

/// The system of a model that has samplers of its own.
fn system_of<'a>(context: &Context<'a>, sampler: Sampler) -> Result<&'a System, Error> {
    context.config.system.as_ref().ok_or_else(|| sampler.not_for_this_model())
}
