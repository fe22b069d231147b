//! The program of a [`Continuous`] model while it is written: its evaluations, its score
//! and its flow, as instructions.

use super::super::continuous::Continuous;
use super::super::guidance::Guided;
use super::super::prediction::Linear;
use super::super::process::Quantity;
use super::super::program::{Coef, Expr, Instruction, Program, Reg, Slot, SlotInit, Step, Term, Time, Unary};
use super::super::timesteps::Steps;
use super::super::Error;
use super::denoise::Limits;
use super::equation::{label, At, Equation, Units};
use super::solve::mix;
use super::{Begun, Context, Sampler};

/// The tables of a model's slope, by their index, and the slots that hold their values.
struct Tabled {
    units: Units,
    time: Slot,
    told: Option<usize>,
    x: Option<(Slot, usize)>,
    out: (Slot, usize),
    input: Option<(Slot, usize)>,
}

/// A continuous model's program while it is written.
pub(super) struct Model {
    pub(super) program: Program,
    pub(super) view: Continuous,
    pub(super) x: Reg,
    x0: Reg,
    guided: Guided,
    /// Where a scaled state goes, for a network in EDM's parametrisation.
    input: Option<Reg>,
    tabled: Option<Tabled>,
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

    fn told(&self, x: Reg, time: Time, coef: Coef) -> Vec<Instruction> {
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

    /// The slope's factors at the time of the last evaluation: of the state, and of the
    /// network's derivative by the state.
    pub(super) fn factors(&self, at: At) -> (Expr, Expr) {
        let tabled = match (at, &self.tabled) {
            (At::Time(t), _) => {
                let flow = self.view.flow(t);
                return (flow.x.into(), (flow.out * self.view.input_scale(t)).into());
            }
            (At::Left(_), Some(tabled)) => tabled,
            (At::Left(_), None) => return (0.0.into(), 0.0.into()),
        };
        let x = tabled.x.map_or(Expr::Const(0.0), |(slot, _)| slot.into());
        let out = Expr::Slot(tabled.out.0);
        (x, tabled.input.map_or(out.clone(), |(slot, _)| out * slot))
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

impl Equation for Model {
    fn interval(&self) -> (f64, f64) {
        (self.view.start, self.view.end)
    }

    fn whole(&self) -> bool {
        self.view.knots().len() > 2
    }

    fn state(&self) -> Vec<Reg> {
        vec![self.x]
    }

    fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    fn preview(&self, t: f64) -> Vec<Instruction> {
        vec![self.estimate(t)]
    }

    fn push(&mut self, label: String, mut instructions: Vec<Instruction>) {
        if self.program.steps.is_empty() {
            let mut start = vec![Instruction::Noise { dst: self.x, draw: 0 }];
            if self.view.prior() != 1.0 {
                start.push(mix(self.x, vec![Term::new(self.view.prior(), self.x)]));
            }
            instructions.splice(0..0, start);
        }
        self.program.steps.push(Step { label, instructions });
    }

    /// The flow ends at [`Continuous::end`], not at the image: of a discrete chain this is
    /// the estimate of the image there, of score_sde's processes the mean of a reverse
    /// diffusion step, as the reference has it.
    fn push_last(&mut self) -> Result<(), Error> {
        let end = self.view.end;
        let mut list = self.evaluate(self.x, end);
        list.push(self.estimate(end));
        list.push(match self.view.last_level()? {
            None => mix(self.x, vec![Term::new(1.0, self.x0)]),
            Some(level) => {
                let update = super::reverse_diffusion::update(&self.view, &level, false);
                mix(self.x, self.terms(update.mean, self.x))
            }
        });
        self.push(label(end), list);
        Ok(())
    }

    fn tabulate(&mut self, units: Units) -> Result<(), Error> {
        let (view, knots) = (self.view.clone(), self.view.knots());
        let p = &mut self.program;
        let time = p.slot("time", SlotInit::Unset);
        let mut add = |name: &str, f: &dyn Fn(f64) -> f64| -> Result<(Slot, usize), Error> {
            let table = units.table(name, &knots, f)?;
            p.tables.push(table);
            Ok((p.slot(name, SlotInit::Unset), p.tables.len() - 1))
        };
        let told = view.told_table().then(|| add("told", &|t| view.process.std(t))).transpose()?;
        let flat = knots.iter().all(|t| view.flow(*t).x == 0.0);
        let x = (!flat).then(|| add("of x", &|t| view.flow(t).x)).transpose()?;
        let out = add("of out", &|t| view.flow(t).out)?;
        let input = self.input.map(|_| add("of input", &|t| view.input_scale(t))).transpose()?;
        self.tabled = Some(Tabled { units, time, told: told.map(|t| t.1), x, out, input });
        Ok(())
    }

    fn slope(&self, at: At, state: &[Reg], into: &[Reg]) -> Vec<Instruction> {
        let (x, k) = (state[0], into[0]);
        let (left, tabled) = match (at, &self.tabled) {
            (At::Left(left), Some(tabled)) => (left, tabled),
            (At::Time(t), _) => {
                let mut list = self.evaluate(x, t);
                list.push(mix(k, self.terms(self.view.flow(t), x)));
                return list;
            }
            // A program without its tables is not valid: the time is never written.
            (At::Left(_), None) => return Vec::new(),
        };
        let look =
            |(slot, table): (Slot, usize)| Instruction::Scalar { slot, expr: Expr::Slot(left).table(table) };
        let mut list = vec![Instruction::Scalar {
            slot: tabled.time,
            expr: self.view.told_expr(left, tabled.units.end, tabled.units.unit, tabled.told),
        }];
        list.extend(tabled.input.into_iter().chain(tabled.x).chain([tabled.out]).map(look));
        let input = tabled.input.map_or(Coef::Const(1.0), |(slot, _)| Coef::Slot(slot));
        list.extend(self.told(x, tabled.time.into(), input));
        let of_x = tabled.x.map(|(slot, _)| Term { coef: Coef::Slot(slot), src: x });
        let of_out = Term { coef: Coef::Slot(tabled.out.0), src: self.guided.out() };
        list.push(mix(k, of_x.into_iter().chain([of_out]).collect()));
        list
    }
}
