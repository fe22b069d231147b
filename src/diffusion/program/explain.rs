//! Programs and instructions in words: `x = 0.98 x0 + 0.2 out`.

use std::fmt;

use super::{Binary, Coef, Expr, Instruction, Pointwise, Program, Reduce, Reg, Slot, SlotInit, Time, Unary};

/// Prints one instruction with the names of its program.
pub struct Explain<'a> {
    program: &'a Program,
    instruction: &'a Instruction,
}

impl Program {
    /// One instruction in words.
    pub fn explain<'a>(&'a self, instruction: &'a Instruction) -> Explain<'a> {
        Explain { program: self, instruction }
    }
}

impl Explain<'_> {
    fn reg(&self, reg: Reg) -> String {
        self.program.registers.get(reg.0 as usize).map_or(format!("r{}?", reg.0), |r| r.name.clone())
    }

    fn slot(&self, slot: Slot) -> String {
        self.program.slots.get(slot.0 as usize).map_or(format!("s{}?", slot.0), |s| s.name.clone())
    }

    fn regs(&self, regs: &[Reg]) -> String {
        regs.iter().map(|r| self.reg(*r)).collect::<Vec<_>>().join(", ")
    }

    fn arg(&self, regs: &[Reg], i: usize) -> String {
        regs.get(i).map_or("?".into(), |r| self.reg(*r))
    }

    fn terms(&self, terms: &[super::Term]) -> String {
        let term = |t: &super::Term| format!("{} {}", self.coef(t.coef), self.reg(t.src));
        terms.iter().map(term).collect::<Vec<_>>().join(" + ")
    }

    fn coef(&self, coef: Coef) -> String {
        match coef {
            Coef::Const(c) => Number(c).to_string(),
            Coef::Slot(s) => self.slot(s),
            Coef::SlotTimes(s, c) => format!("{} {}", Number(c), self.slot(s)),
        }
    }

    fn expr(&self, expr: &Expr) -> String {
        match expr {
            Expr::Const(c) => Number(*c).to_string(),
            Expr::Slot(slot) => self.slot(*slot),
            Expr::Unary(f, a) => {
                let name = match f {
                    Unary::Neg => "-",
                    Unary::Abs => "abs",
                    Unary::Sqrt => "sqrt",
                    Unary::Exp => "exp",
                    Unary::Log => "log",
                    Unary::Floor => "floor",
                };
                format!("{name}({})", self.expr(a))
            }
            Expr::Binary(f, a, b) => {
                let (a, b) = (self.expr(a), self.expr(b));
                match f {
                    Binary::Add => format!("({a} + {b})"),
                    Binary::Sub => format!("({a} - {b})"),
                    Binary::Mul => format!("({a} * {b})"),
                    Binary::Div => format!("({a} / {b})"),
                    Binary::Min => format!("min({a}, {b})"),
                    Binary::Max => format!("max({a}, {b})"),
                    Binary::Less => format!("({a} < {b})"),
                    Binary::LessEqual => format!("({a} <= {b})"),
                }
            }
            Expr::Select(parts) => {
                let [cond, a, b] = &**parts;
                format!("if {} {{ {} }} else {{ {} }}", self.expr(cond), self.expr(a), self.expr(b))
            }
            Expr::Table { table, at } => {
                let name =
                    self.program.tables.get(*table).map_or(format!("table{table}?"), |t| t.name.clone());
                format!("{name}[{}]", self.expr(at))
            }
        }
    }
}

impl fmt::Display for Explain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instruction {
            Instruction::Eval { net, inputs, time, label, outs } => {
                let out = |o: &super::Output| {
                    format!("{}[{}..{}]", self.reg(o.dst), o.channels.start, o.channels.end)
                };
                let outs = outs.iter().map(out).collect::<Vec<_>>().join(", ");
                let name = self.program.nets.get(*net).map_or(format!("net{net}?"), |n| n.name.clone());
                let time = match time {
                    Time::Const(time) => Number(*time).to_string(),
                    Time::Slot(slot) => self.slot(*slot),
                };
                write!(f, "{outs} = {name}({}; t = {time}", self.regs(inputs))?;
                match label {
                    Some(slot) => write!(f, ", label = {})", self.slot(*slot)),
                    None => write!(f, ")"),
                }
            }
            Instruction::Mix { dst, terms, clamp: None } => {
                write!(f, "{} = {}", self.reg(*dst), self.terms(terms))
            }
            Instruction::Mix { dst, terms, clamp: Some((low, high)) } => {
                let (low, high) = (Number(*low), Number(*high));
                write!(f, "{} = clamp({}; {low}, {high})", self.reg(*dst), self.terms(terms))
            }
            Instruction::Pointwise { dst, f: function, srcs } => {
                let a = self.arg(srcs, 0);
                write!(f, "{} = ", self.reg(*dst))?;
                match function {
                    Pointwise::Mul => write!(f, "{a} * {}", self.arg(srcs, 1)),
                    Pointwise::Exp { scale, bias } => {
                        write!(f, "exp({} {a} + {})", Number(*scale), Number(*bias))
                    }
                    Pointwise::Tanh => write!(f, "tanh({a})"),
                    Pointwise::Sqrt => write!(f, "sqrt({a})"),
                    Pointwise::Clamp(slot) => {
                        let s = self.slot(*slot);
                        write!(f, "clamp({a}; -{s}, {s})")
                    }
                }
            }
            Instruction::Fill { dst, value } => write!(f, "{} = {}", self.reg(*dst), self.coef(*value)),
            Instruction::Apply { dst, operator, src } => {
                let operators = &self.program.operators;
                let name = operators.get(*operator).map_or(format!("A{operator}?"), |o| o.name.clone());
                write!(f, "{} = {name} {}", self.reg(*dst), self.reg(*src))
            }
            Instruction::Noise { dst, draw } => write!(f, "{} = noise({draw})", self.reg(*dst)),
            Instruction::Reduce { slot, kind, srcs } => {
                let (slot, srcs) = (self.slot(*slot), self.regs(srcs));
                match kind {
                    Reduce::SumSquares => write!(f, "{slot} = sum_squares({srcs})"),
                    Reduce::Dot => write!(f, "{slot} = dot({srcs})"),
                    Reduce::WeightedError { atol, rtol } => {
                        write!(f, "{slot} = weighted_error({srcs}; atol {atol}, rtol {rtol})")
                    }
                    Reduce::GreaterError { atol, rtol } => {
                        write!(f, "{slot} = greater_error({srcs}; atol {atol}, rtol {rtol})")
                    }
                    Reduce::QuantileAbs(q) => write!(f, "{slot} = quantile_abs({srcs}; {q})"),
                }
            }
            Instruction::Scalar { slot, expr } => write!(f, "{} = {}", self.slot(*slot), self.expr(expr)),
            Instruction::Select { dst, cond, a, b } => {
                let (cond, a, b) = (self.slot(*cond), self.reg(*a), self.reg(*b));
                write!(f, "{} = if {cond} {{ {a} }} else {{ {b} }}", self.reg(*dst))
            }
            Instruction::Mean { slot, src } => {
                write!(f, "{} = mean of {} over the batch", self.slot(*slot), self.slot(*src))
            }
            Instruction::Loop { body, until, at_most } => {
                write!(f, "until all {}, at most {at_most} times:", self.slot(*until))?;
                body.iter().try_for_each(|i| write!(f, "\n        {}", self.program.explain(i)))
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, nfe, passes) = (self.steps.len(), self.nfe(), self.loop_nfe());
        write!(f, "program {}: {steps} steps, {} network evaluations", self.name, nfe - passes)?;
        match passes {
            0 => writeln!(f)?,
            passes => writeln!(f, " and {passes} in each pass of its loop")?,
        }
        for register in &self.registers {
            let input = if register.input { ", given" } else { "" };
            writeln!(f, "  register {} {}{input}", register.name, register.shape)?;
        }
        for slot in &self.slots {
            match slot.init {
                SlotInit::Unset => writeln!(f, "  slot {}", slot.name)?,
                SlotInit::Const(c) => writeln!(f, "  slot {} = {c}", slot.name)?,
                SlotInit::Input => writeln!(f, "  slot {}, given per image", slot.name)?,
            }
        }
        for o in &self.operators {
            writeln!(f, "  operator {} from {} to {}", o.name, o.map.from(), o.map.to())?;
        }
        for step in &self.steps {
            writeln!(f, "{}", step.label)?;
            for instruction in &step.instructions {
                writeln!(f, "    {}", self.explain(instruction))?;
            }
        }
        Ok(())
    }
}

/// A number in about seven digits, plain where that is short.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Number(v) = *self;
        if v == 0.0 || (1e-4..1e7).contains(&v.abs()) || !v.is_finite() {
            let rounded = (v * 1e7).round() / 1e7;
            write!(f, "{rounded}")
        } else {
            write!(f, "{v:.6e}")
        }
    }
}
