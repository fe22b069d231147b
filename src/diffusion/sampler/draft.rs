//! What the author of a sampler begins with: the times to visit, the noise levels
//! there, the network's prediction as x0 and eps, and a program to fill.

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::Error;
use super::{Context, Sampler, Setup};

/// A noise level: `x = alpha x0 + sqrt(1 - alpha^2) eps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The image's factor.
    pub alpha: f64,
}

impl Level {
    /// The noise of `x / alpha = x0 + sigma eps`.
    pub fn sigma(self) -> f64 {
        (1.0 - self.alpha * self.alpha).max(0.0).sqrt() / self.alpha
    }
}

/// A program while it is written, for [`Sampler::register`]. Steps go by whole
/// timesteps of training, as the model's file and the user's options spread them;
/// guidance, clamps and thresholds are taken care of.
pub struct Draft {
    setup: Setup,
    eps: Reg,
}

impl Draft {
    /// A program without steps, with the registers `x` (state and output), `x0`, `eps`.
    ///
    /// # Errors
    /// Options and configurations that cannot be followed.
    pub fn new(context: &Context<'_>, name: &str) -> Result<Draft, Error> {
        // Any sampler by timesteps would do: errors name the program.
        let mut setup = Setup::new(context, Sampler::Ddim, false)?;
        setup.program.name = name.into();
        let eps = setup.program.register("eps", context.shape);
        Ok(Draft { setup, eps })
    }

    /// The timesteps to visit, descending.
    pub fn times(&self) -> &[usize] {
        &self.setup.times
    }

    /// The noise level at a timestep of training (the last one beyond the end).
    pub fn level(&self, t: usize) -> Level {
        let t = t.min(self.setup.schedule.alpha_bar().len() - 1);
        Level { alpha: self.setup.alpha_bar(t).sqrt() }
    }

    /// The noise level where step `k` leads: that of the next time, in the end the image.
    pub fn level_after(&self, k: usize) -> Level {
        self.setup.times.get(k + 1).map_or(Level { alpha: 1.0 }, |t| self.level(*t))
    }

    /// The state, and in the end the image.
    pub fn x(&self) -> Reg {
        self.setup.x
    }

    /// The predicted image, after clamp or threshold.
    pub fn x0(&self) -> Reg {
        self.setup.denoise.x0
    }

    /// The predicted noise.
    pub fn eps(&self) -> Reg {
        self.eps
    }

    /// Another register of the state's shape.
    pub fn register(&mut self, name: &str) -> Reg {
        let shape = self.setup.program.registers[self.setup.x.0 as usize].shape;
        self.setup.program.register(name, shape)
    }

    /// The evaluation at the state `x` and time `t`, which fills `x0` and `eps`.
    ///
    /// # Errors
    /// A time at which the network's output says nothing of the image.
    pub fn predict(&self, t: usize) -> Result<Vec<Instruction>, Error> {
        let s = &self.setup;
        let (x, out) = (s.x, s.model.out());
        let views = s.views(t)?;
        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, out));
        let terms = s.denoise.eps_terms(views, 1.0, x, out);
        list.push(Instruction::Mix { dst: self.eps, terms, clamp: None });
        Ok(list)
    }

    /// `dst = sum of factor * register`.
    pub fn mix(&self, dst: Reg, terms: &[(f64, Reg)]) -> Instruction {
        let terms = terms.iter().map(|(factor, src)| Term::new(*factor, *src)).collect();
        Instruction::Mix { dst, terms, clamp: None }
    }

    /// Independent normal numbers for step `k`, other ones at each step.
    pub fn noise(&self, dst: Reg, k: usize) -> Instruction {
        Instruction::Noise { dst, draw: k as u32 + 1 }
    }

    /// Appends a step; the first one begins with the initial noise.
    pub fn push(&mut self, t: usize, instructions: Vec<Instruction>) {
        self.setup.push(t, instructions);
    }

    /// The program.
    ///
    /// # Errors
    /// A rule that it breaks, with the instruction.
    pub fn finish(self) -> Result<Program, Error> {
        self.setup.program.validate()?;
        Ok(self.setup.program)
    }
}
