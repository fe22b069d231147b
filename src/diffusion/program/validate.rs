//! The rules of a program, checked before anything runs.

use super::{Coef, Expr, Fault, Instruction, Place, Pointwise, Program, ProgramError, Reduce, Reg, Time};
use super::{Slot, SlotInit, MAX_TERMS};
use crate::shape::Shape;

impl Program {
    /// Checks every rule: registers, slots, networks and tables exist; nothing is
    /// read before it is written (a register may be declared an input, a slot may
    /// be initialised); shapes agree; numbers are finite; ranges and bounds are in
    /// order; the output is written; there is one loop at most, and it can end.
    pub fn validate(&self) -> Result<(), ProgramError> {
        let whole = |fault| ProgramError::Program { program: self.name.clone(), fault };
        self.check_declarations().map_err(whole)?;
        let mut state = Written {
            registers: self.registers.iter().map(|r| r.input).collect(),
            slots: self.slots.iter().map(|s| s.init != SlotInit::Unset).collect(),
            loops: 0,
        };
        for (step, s) in self.steps.iter().enumerate() {
            for (index, instruction) in s.instructions.iter().enumerate() {
                self.check(instruction, &mut state).map_err(|fault| ProgramError::Instruction {
                    place: Box::new(self.place(step, index, instruction)),
                    fault,
                })?;
            }
        }
        self.check_read(self.output, &state).map_err(whole)
    }

    pub(super) fn place(&self, step: usize, index: usize, instruction: &Instruction) -> Place {
        Place {
            program: self.name.clone(),
            step,
            label: self.steps.get(step).map(|s| s.label.clone()).unwrap_or_default(),
            index,
            instruction: self.explain(instruction).to_string(),
        }
    }

    fn check_declarations(&self) -> Result<(), Fault> {
        if self.steps.is_empty() {
            return Err(Fault::NoSteps);
        }
        for register in &self.registers {
            if register.shape.checked_len().is_none() {
                return Err(Fault::BadShape { name: register.name.clone(), shape: register.shape });
            }
        }
        for net in &self.nets {
            if let Some(&shape) = net.inputs.iter().chain([&net.output]).find(|s| s.checked_len().is_none()) {
                return Err(Fault::BadShape { name: net.name.clone(), shape });
            }
        }
        for slot in &self.slots {
            if let SlotInit::Const(value) = slot.init {
                finite(|| format!("the initial value of slot {}", slot.name), value)?;
            }
        }
        for (i, operator) in self.operators.iter().enumerate() {
            if !operator.map.is_good() {
                return Err(Fault::BadOperator(i));
            }
        }
        for table in &self.tables {
            if !table.is_good() {
                return Err(Fault::BadTable(table.name.clone()));
            }
        }
        Ok(())
    }

    fn check(&self, instruction: &Instruction, state: &mut Written) -> Result<(), Fault> {
        if let Instruction::Loop { body, until, at_most } = instruction {
            state.loops += 1;
            if state.loops > 1 {
                return Err(Fault::Loops);
            }
            if *at_most == 0 {
                let need = "it must be at least 1";
                return Err(Fault::Range { what: "at_most", value: 0.0, need });
            }
            body.iter().try_for_each(|i| self.check(i, state))?;
            let written = body.iter().any(|i| i.slot_written() == Some(*until));
            let info = self.slots.get(until.0 as usize).ok_or(Fault::NoSlot(until.0))?;
            return if written { Ok(()) } else { Err(Fault::UnwrittenSlot(info.name.clone())) };
        }
        for reg in instruction.reads() {
            self.check_read(reg, state)?;
        }
        for slot in instruction.slots_read() {
            let info = self.slots.get(slot.0 as usize).ok_or(Fault::NoSlot(slot.0))?;
            if !state.slots[slot.0 as usize] {
                return Err(Fault::UnwrittenSlot(info.name.clone()));
            }
        }
        self.check_rules(instruction)?;
        for reg in instruction.writes() {
            *state.registers.get_mut(reg.0 as usize).ok_or(Fault::NoRegister(reg.0))? = true;
        }
        if let Some(Slot(slot)) = instruction.slot_written() {
            *state.slots.get_mut(slot as usize).ok_or(Fault::NoSlot(slot))? = true;
        }
        Ok(())
    }

    fn check_read(&self, reg: Reg, state: &Written) -> Result<(), Fault> {
        self.shape_of(reg)?;
        match state.registers[reg.0 as usize] {
            true => Ok(()),
            false => Err(Fault::UnwrittenRegister(self.registers[reg.0 as usize].name.clone())),
        }
    }

    fn shape_of(&self, reg: Reg) -> Result<Shape, Fault> {
        self.registers.get(reg.0 as usize).map(|r| r.shape).ok_or(Fault::NoRegister(reg.0))
    }

    fn same_shape(&self, reg: Reg, needs: Shape) -> Result<(), Fault> {
        let has = self.shape_of(reg)?;
        match has == needs {
            true => Ok(()),
            false => Err(Fault::Shape { name: self.registers[reg.0 as usize].name.clone(), has, needs }),
        }
    }

    fn check_rules(&self, instruction: &Instruction) -> Result<(), Fault> {
        match instruction {
            Instruction::Eval { net, inputs, time, outs, .. } => {
                let net = self.nets.get(*net).ok_or(Fault::NoNet(*net))?;
                arity(inputs.len(), net.inputs.len())?;
                if let Time::Const(time) = time {
                    finite(|| "time".into(), *time)?;
                }
                for (&reg, &shape) in inputs.iter().zip(&net.inputs) {
                    self.same_shape(reg, shape)?;
                }
                for (i, out) in outs.iter().enumerate() {
                    let (start, end, channels) = (out.channels.start, out.channels.end, net.output.c);
                    if start >= end || end > channels {
                        return Err(Fault::Channels { start, end, channels });
                    }
                    self.same_shape(out.dst, net.output.with_c(end - start))?;
                    if inputs.contains(&out.dst) || outs[..i].iter().any(|o| o.dst == out.dst) {
                        return Err(Fault::Alias(self.registers[out.dst.0 as usize].name.clone()));
                    }
                }
                arity(outs.len(), outs.len().max(1))
            }
            Instruction::Mix { dst, terms, clamp } => {
                let beside = terms.iter().filter(|t| t.src != *dst).count();
                if terms.is_empty() || beside > MAX_TERMS {
                    return Err(Fault::Terms(beside));
                }
                for term in terms {
                    self.same_shape(term.src, self.shape_of(*dst)?)?;
                    if let Coef::Const(c) | Coef::SlotTimes(_, c) = term.coef {
                        let name =
                            || format!("the coefficient of {}", self.registers[term.src.0 as usize].name);
                        finite(name, c)?;
                    }
                }
                if let Some((low, high)) = *clamp {
                    finite(|| "the clamp's lower bound".into(), low)?;
                    finite(|| "the clamp's upper bound".into(), high)?;
                    if low > high {
                        return Err(Fault::Clamp { low, high });
                    }
                }
                Ok(())
            }
            Instruction::Pointwise { dst, f, srcs } => {
                arity(srcs.len(), f.arity())?;
                if let Pointwise::Exp { scale, bias } = *f {
                    finite(|| "the exponent's scale".into(), scale)?;
                    finite(|| "the exponent's bias".into(), bias)?;
                }
                srcs.iter().try_for_each(|&src| self.same_shape(src, self.shape_of(*dst)?))
            }
            Instruction::Fill { dst, value } => {
                finite(|| "the value".into(), value.factor())?;
                self.shape_of(*dst).map(|_| ())
            }
            Instruction::Noise { dst, .. } => self.shape_of(*dst).map(|_| ()),
            Instruction::Apply { dst, operator, src } => {
                let map = &self.operators.get(*operator).ok_or(Fault::NoOperator(*operator))?.map;
                self.same_shape(*src, map.from())?;
                self.same_shape(*dst, map.to())?;
                match dst == src {
                    true => Err(Fault::Alias(self.registers[dst.0 as usize].name.clone())),
                    false => Ok(()),
                }
            }
            Instruction::Reduce { kind, srcs, .. } => {
                arity(srcs.len(), kind.arity())?;
                match *kind {
                    Reduce::QuantileAbs(q) if !(0.0..=1.0).contains(&q) => {
                        return Err(Fault::Range { what: "q", value: q, need: "it must lie in [0, 1]" });
                    }
                    Reduce::WeightedError { atol, rtol } | Reduce::GreaterError { atol, rtol } => {
                        finite(|| "atol".into(), atol)?;
                        finite(|| "rtol".into(), rtol)?;
                        if atol <= 0.0 || rtol < 0.0 {
                            let need = "it must be positive, and rtol not negative";
                            return Err(Fault::Range { what: "atol", value: atol, need });
                        }
                    }
                    _ => {}
                }
                srcs.iter().try_for_each(|&src| self.same_shape(src, self.shape_of(srcs[0])?))
            }
            Instruction::Scalar { expr, .. } => {
                let mut result = Ok(());
                expr.walk(&mut |e| {
                    let one = match e {
                        Expr::Const(c) => finite(|| "a constant".into(), *c),
                        Expr::Table { table, .. } if *table >= self.tables.len() => {
                            Err(Fault::NoTable(*table))
                        }
                        _ => Ok(()),
                    };
                    if result.is_ok() {
                        result = one;
                    }
                });
                result
            }
            Instruction::Select { dst, a, b, .. } => {
                let shape = self.shape_of(*dst)?;
                self.same_shape(*a, shape)?;
                self.same_shape(*b, shape)
            }
            Instruction::Mean { .. } | Instruction::Loop { .. } => Ok(()),
        }
    }
}

/// What holds a value so far.
struct Written {
    registers: Vec<bool>,
    slots: Vec<bool>,
    loops: usize,
}

fn finite(what: impl FnOnce() -> String, value: f64) -> Result<(), Fault> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(Fault::NotFinite { what: what(), value }),
    }
}

fn arity(has: usize, needs: usize) -> Result<(), Fault> {
    match has == needs {
        true => Ok(()),
        false => Err(Fault::Arity { has, needs }),
    }
}
