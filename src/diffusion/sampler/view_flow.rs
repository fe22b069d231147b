//! The probability flow of a [`Model`] as an equation: its slope at a time that is known, and
//! by tables at one that the GPU chooses.

use super::super::program::{Coef, Expr, Instruction, Program, Reg, Slot, SlotInit, Step, Term};
use super::super::Error;
use super::equation::{label, At, Equation, Units};
use super::solve::mix;
use super::view::{Model, Tabled};

impl Model {
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
