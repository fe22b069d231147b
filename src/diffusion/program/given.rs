//! Noise from the caller in place of the device's own generator.

use super::{Instruction, Program, Reg, Term};

impl Program {
    /// The same program with every draw of noise an input register, which the caller
    /// fills before the first step; [`Program::given_noise`] lists draws and registers in
    /// the order in which they are first used.
    pub fn with_given_noise(mut self) -> Program {
        let mut steps = std::mem::take(&mut self.steps);
        steps.iter_mut().for_each(|step| self.give(&mut step.instructions));
        self.steps = steps;
        self
    }

    fn give(&mut self, instructions: &mut [Instruction]) {
        for i in instructions {
            match i {
                Instruction::Loop { body, .. } => self.give(body),
                Instruction::Noise { dst, draw } => {
                    let (dst, src) = (*dst, self.given(*draw, *dst));
                    *i = Instruction::Mix { dst, terms: vec![Term::new(1.0, src)], clamp: None };
                }
                _ => {}
            }
        }
    }

    /// The input register of a draw, of the shape of `like`.
    fn given(&mut self, draw: u32, like: Reg) -> Reg {
        if let Some((_, reg)) = self.given_noise.iter().find(|(known, _)| *known == draw) {
            return *reg;
        }
        let reg = self.register(&format!("noise {draw}"), self.registers[like.0 as usize].shape);
        self.registers[reg.0 as usize].input = true;
        self.given_noise.push((draw, reg));
        reg
    }
}
