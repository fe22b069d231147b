//! What programs begin with: the network with its guidance, and for samplers that go by
//! timesteps the schedule and the times.

use super::super::guidance::Guided;
use super::super::program::{Instruction, Net, Program, Reg, Step};
use super::super::timesteps::{strides_by_list, strides_by_ratio, timesteps, Steps, Stride};
use super::super::{Error, Schedule};
use super::denoise::{Denoise, Limits};
use super::{Context, Sampler};

/// What every program begins with.
pub(super) struct Begun {
    pub(super) program: Program,
    pub(super) model: Guided,
    pub(super) denoise: Denoise,
}

impl Begun {
    pub(super) fn new(
        context: &Context<'_>,
        sampler: Sampler,
        with_variance: bool,
        limits: Limits,
    ) -> Result<Self, Error> {
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
        let net = Net {
            name: "model".into(),
            inputs: vec![context.shape],
            output: context.shape.with_c(context.out_channels),
        };
        let mut program = Program::new(sampler.name(), context.shape, net);
        let model = Guided::new(&mut program, context.conditioning, context.guidance_scale, with_variance)?;
        let denoise = Denoise::new(&mut program, context.config, limits);
        Ok(Self { program, model, denoise })
    }
}

/// What the samplers that go by timesteps share: schedule, times, program, registers.
pub(super) struct Setup {
    pub(super) schedule: Schedule,
    pub(super) times: Vec<usize>,
    pub(super) program: Program,
    pub(super) x: Reg,
    pub(super) model: Guided,
    pub(super) denoise: Denoise,
    /// alpha_bar beyond t = 0, of PNDM: that of t = 0 unless the file chose otherwise.
    pub(super) beyond: f64,
}

impl Setup {
    pub(super) fn new(context: &Context<'_>, sampler: Sampler, with_variance: bool) -> Result<Self, Error> {
        let times = timesteps(context.config, &context.steps)?;
        let begun = Begun::new(context, sampler, with_variance, Limits::DDPM)?;
        Self::at(context, times, begun)
    }

    /// At times of the sampler's own.
    pub(super) fn with_times(
        context: &Context<'_>,
        sampler: Sampler,
        times: Vec<usize>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let begun = Begun::new(context, sampler, false, limits)?;
        Self::at(context, times, begun)
    }

    fn at(context: &Context<'_>, times: Vec<usize>, begun: Begun) -> Result<Self, Error> {
        let Begun { program, model, denoise } = begun;
        let schedule =
            if context.single { Schedule::single(context.config)? } else { Schedule::new(context.config)? };
        let beyond = match context.config.solver.set_alpha_to_one {
            Some(true) => 1.0,
            _ => schedule.alpha_bar()[0],
        };
        Ok(Self { schedule, times, x: program.output, program, model, denoise, beyond })
    }

    /// The steps as DDIM takes them: of a number of steps as diffusers has it, of a list from one of
    /// its timesteps to the next.
    pub(super) fn strides(&self, context: &Context<'_>) -> Vec<Stride> {
        match &context.steps {
            Steps::Count(_) => strides_by_ratio(&self.times, context.config.num_train_timesteps),
            _ => strides_by_list(&self.times),
        }
    }

    /// alpha_bar at `t`.
    pub(super) fn alpha_bar(&self, t: usize) -> f64 {
        self.schedule.alpha_bar()[t]
    }

    /// alpha_bar where a step leads; 0 is refused, the state would stay pure noise.
    pub(super) fn alpha_bar_prev(&self, t: usize, prev: Option<usize>, beyond: f64) -> Result<f64, Error> {
        let alpha_bar = prev.map_or(beyond, |prev| self.alpha_bar(prev));
        match alpha_bar > 0.0 {
            true => Ok(alpha_bar),
            false => Err(Error::Unsupported {
                sampler: self.program.name.clone(),
                t,
                reason: format!("alpha_bar is 0 already at the next timestep {prev:?}; mend the betas"),
            }),
        }
    }

    /// Appends a step at `t`; the first one begins with the initial noise.
    pub(super) fn push(&mut self, t: usize, mut instructions: Vec<Instruction>) {
        if self.program.steps.is_empty() {
            instructions.insert(0, Instruction::Noise { dst: self.x, draw: 0 });
        }
        self.program.steps.push(Step { label: format!("t = {t}"), instructions });
    }
}
