//! The program of a [`Continuous`] model while it is written: its evaluations and its score, as
//! instructions.

use super::super::continuous::Continuous;
use super::super::guidance::Guided;
use super::super::prediction::Linear;
use super::super::process::Quantity;
use super::super::program::{Coef, Expr, Instruction, Program, Reg, Slot, Term, Time, Unary};
use super::super::timesteps::Steps;
use super::super::Error;
use super::denoise::Limits;
use super::equation::Units;
use super::solve::mix;
use super::{Begun, Context, Sampler};

/// The tables of a model's slope, by their index, and the slots that hold their values.
pub(super) struct Tabled {
    pub(super) units: Units,
    pub(super) time: Slot,
    pub(super) told: Option<usize>,
    pub(super) x: Option<(Slot, usize)>,
    pub(super) out: (Slot, usize),
    pub(super) input: Option<(Slot, usize)>,
}

/// A continuous model's program while it is written.
pub(super) struct Model {
    pub(super) program: Program,
    pub(super) view: Continuous,
    pub(super) x: Reg,
    pub(super) x0: Reg,
    pub(super) guided: Guided,
    /// Where a scaled state goes, for a network in EDM's parametrisation.
    pub(super) input: Option<Reg>,
    pub(super) tabled: Option<Tabled>,
    draws: u32,
}

impl Model {
    pub(super) fn new(context: &Context<'_>, sampler: Sampler) -> Result<Self, Error> {
        let view = Continuous::of(context.config)?;
        let Begun { mut program, model, denoise } = Begun::new(context, sampler, false, Limits::NONE)?;
        let scaled = matches!(view.quantity, Quantity::F(_));
        let input = scaled.then(|| program.register("input", context.shape));
        let (x, x0) = (program.output, denoise.x0);
        Ok(Self { program, view, x, x0, guided: model, input, tabled: None, draws: 1 })
    }

    /// The number of steps of a grid that a sampler makes itself.
    pub(super) fn count(context: &Context<'_>, sampler: Sampler) -> Result<usize, Error> {
        let need = format!("{} spreads its times itself: give a number of steps", sampler.name());
        match &context.steps {
            Steps::Count(0) => Err(Error::option("steps", 0, "choose at least 1")),
            Steps::Count(count) => Ok(*count),
            Steps::At(_) => Err(Error::option("timesteps", "a list", need)),
            Steps::Sigmas(_) => Err(Error::option("sigmas", "a list", need)),
        }
    }

    pub(super) fn register(&mut self, name: &str) -> Reg {
        let shape = self.program.registers[self.x.0 as usize].shape;
        self.program.register(name, shape)
    }

    /// The next draw of noise into a register.
    pub(super) fn noise(&mut self, dst: Reg) -> Instruction {
        self.draws += 1;
        Instruction::Noise { dst, draw: self.draws - 1 }
    }

    /// Evaluates the network at the state `x` and the time `t`.
    pub(super) fn evaluate(&self, x: Reg, t: f64) -> Vec<Instruction> {
        let (told, scale) = (self.view.told(t), self.view.input_scale(t));
        self.told(x, told.into(), Coef::Const(scale))
    }

    pub(super) fn told(&self, x: Reg, time: Time, coef: Coef) -> Vec<Instruction> {
        match self.input {
            None => self.guided.instructions(x, time),
            Some(input) => {
                let scaled = mix(input, vec![Term { coef, src: x }]);
                [vec![scaled], self.guided.instructions(input, time)].concat()
            }
        }
    }

    /// The terms of a linear function of `x` and the network's output.
    pub(super) fn terms(&self, of: Linear, x: Reg) -> Vec<Term> {
        let all = [Term::new(of.x, x), Term::new(of.out, self.guided.out())];
        all.into_iter().filter(|t| !t.is_zero()).collect()
    }

    /// The derivative `J v` of the network's output along `v` in its input goes with every
    /// evaluation to `derivative` ([`Guided::along`]).
    pub(super) fn along(&mut self, v: Reg, derivative: Reg) -> Result<(), Error> {
        self.guided.along(&mut self.program, v, derivative)
    }

    /// Writes the estimate of the image at `t`, for previews.
    pub(super) fn estimate(&self, t: f64) -> Instruction {
        mix(self.x0, self.terms(self.view.image(t), self.x))
    }

    /// Writes the noise that the network sees in `x`, at a time in the slot `time` where
    /// the process has the factors in the slots `alpha` and `sigma`; two more slots are for
    /// its coefficients.
    pub(super) fn noise_at(
        &self,
        x: Reg,
        time: Slot,
        [alpha, sigma, of_x, of_out]: [Slot; 4],
        into: Reg,
    ) -> Vec<Instruction> {
        let (a, s) = (|| Expr::Slot(alpha), || Expr::Slot(sigma));
        let one = || Expr::Const(1.0);
        let r2 = || a() * a() + s() * s();
        let (x_part, out_part) = match self.view.quantity {
            Quantity::Eps => (None, one()),
            Quantity::Score => (None, s() * -1.0),
            Quantity::X0 => (Some(one() / s()), a() * -1.0 / s()),
            Quantity::V => (Some(s() / r2()), a() / r2().unary(Unary::Sqrt)),
            // -s score, as in `Continuous::score`.
            Quantity::F(data) => {
                let sum = || s() * s() + a() * a() * (data * data);
                (Some(s() / sum()), a() * -data / sum().unary(Unary::Sqrt) / a())
            }
        };
        let scale = match self.view.quantity {
            Quantity::F(data) => one() / (s() * s() + a() * a() * (data * data)).unary(Unary::Sqrt),
            _ => one(),
        };
        let term = |slot, src| Term { coef: Coef::Slot(slot), src };
        let mut list = vec![Instruction::Scalar { slot: of_x, expr: scale }];
        list.extend(self.told(x, time.into(), Coef::Slot(of_x)));
        list.push(Instruction::Scalar { slot: of_out, expr: out_part });
        let mut terms = vec![term(of_out, self.guided.out())];
        if let Some(expr) = x_part {
            list.push(Instruction::Scalar { slot: of_x, expr });
            terms.push(term(of_x, x));
        }
        list.push(mix(into, terms));
        list
    }
}
