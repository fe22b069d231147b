//! Samplers: one file each, one page of host mathematics that returns a program.
//!
//! In every program the register `x` is the state and the output: after step k it
//! is what diffusers calls `prev_sample`. The initial noise is draw 0, the noise of
//! step k (from 0) is draw k + 1. The register `x0` holds the predicted image
//! after each step, for previews.
//!
//! To add a sampler: one file, one line in [`Sampler::ALL`] and one in each match.

pub mod ddim;
pub mod ddpm;
mod denoise;

use std::str::FromStr;

use super::guidance::{Conditioning, Guided};
use super::program::{Instruction, Net, Program, Reg, Step};
use super::timesteps::{timesteps, Steps};
use super::{Error, Schedule, SchedulerConfig};
use crate::shape::Shape;
use denoise::Denoise;

/// Every sampler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sampler {
    /// Ancestral sampling: [`ddpm`].
    Ddpm,
    /// Deterministic to fully stochastic, by `eta`: [`ddim`].
    Ddim,
}

impl Sampler {
    /// Every sampler, in the order that help lists them.
    pub const ALL: [Sampler; 2] = [Self::Ddpm, Self::Ddim];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "ddpm",
            Self::Ddim => "ddim",
        }
    }

    /// One line of help.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Ddpm => "ancestral sampling (Ho et al. 2020); wants hundreds of steps",
            Self::Ddim => "implicit sampling (Song et al. 2020); 20 to 100 steps, deterministic at eta 0",
        }
    }

    /// The steps of a user who names none, of a model with `train` timesteps.
    pub fn default_steps(self, train: usize) -> usize {
        match self {
            Self::Ddpm => train,
            Self::Ddim => train.min(50),
        }
    }

    /// The sampler of a diffusers scheduler class (`_class_name`), if it is here.
    pub fn from_class_name(class: &str) -> Option<Self> {
        match class {
            "DDPMScheduler" => Some(Self::Ddpm),
            "DDIMScheduler" => Some(Self::Ddim),
            _ => None,
        }
    }

    /// The text of the sampler's file.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Ddpm => include_str!("ddpm.rs"),
            Self::Ddim => include_str!("ddim.rs"),
        }
    }

    /// The head of its file: paper, equations, what differs from them.
    pub fn paper(self) -> String {
        let head = self.source().lines().take_while(|l| l.starts_with("//!"));
        let plain = head.map(|l| l.trim_start_matches("//!").trim_start_matches(' ').to_string());
        plain.filter(|l| !l.starts_with("```")).collect::<Vec<_>>().join("\n")
    }

    /// The program of this sampler, validated.
    pub fn program(self, context: &Context<'_>) -> Result<Program, Error> {
        let program = match self {
            Self::Ddpm => ddpm::program(context)?,
            Self::Ddim => ddim::program(context)?,
        };
        program.validate()?;
        Ok(program)
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
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
    /// Take alpha_bar rounded to f32, as diffusers does ([`Schedule::single`]).
    pub single: bool,
}

impl<'a> Context<'a> {
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
            single: false,
        }
    }
}

/// What the samplers of this folder share: schedule, times, program, registers.
struct Setup {
    sampler: Sampler,
    schedule: Schedule,
    times: Vec<usize>,
    program: Program,
    x: Reg,
    model: Guided,
    denoise: Denoise,
}

impl Setup {
    fn new(context: &Context<'_>, sampler: Sampler, with_variance: bool) -> Result<Self, Error> {
        let c = context.shape.c;
        if context.shape.checked_len().is_none() {
            return Err(Error::option("shape", context.shape, "it must hold at least one number"));
        }
        if context.out_channels != c && Some(context.out_channels) != c.checked_mul(2) {
            let need = format!(
                "the state has {c} channels, so the network must give {c} or {}",
                c.saturating_mul(2)
            );
            return Err(Error::option("out_channels", context.out_channels, need));
        }
        let times = timesteps(context.config, &context.steps)?;
        let net = Net {
            name: "model".into(),
            inputs: vec![context.shape],
            output: context.shape.with_c(context.out_channels),
        };
        let mut program = Program::new(sampler.name(), context.shape, net);
        let model = Guided::new(&mut program, context.conditioning, context.guidance_scale, with_variance)?;
        let denoise = Denoise::new(&mut program, context.config);
        let schedule =
            if context.single { Schedule::single(context.config)? } else { Schedule::new(context.config)? };
        Ok(Self { sampler, schedule, times, x: program.output, program, model, denoise })
    }

    /// alpha_bar at `t`.
    fn alpha_bar(&self, t: usize) -> f64 {
        self.schedule.alpha_bar()[t]
    }

    /// alpha_bar where a step leads; 0 is refused, the state would stay pure noise.
    fn alpha_bar_prev(&self, t: usize, prev: Option<usize>, beyond: f64) -> Result<f64, Error> {
        let alpha_bar = prev.map_or(beyond, |prev| self.alpha_bar(prev));
        match alpha_bar > 0.0 {
            true => Ok(alpha_bar),
            false => Err(Error::Unsupported {
                sampler: self.sampler.name(),
                t,
                reason: format!("alpha_bar is 0 already at the next timestep {prev:?}; mend the betas"),
            }),
        }
    }

    /// Appends a step at `t`; the first one begins with the initial noise.
    fn push(&mut self, t: usize, mut instructions: Vec<Instruction>) {
        if self.program.steps.is_empty() {
            instructions.insert(0, Instruction::Noise { dst: self.x, draw: 0 });
        }
        self.program.steps.push(Step { label: format!("t = {t}"), instructions });
    }
}
