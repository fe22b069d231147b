//! Noise from the caller in place of the device's own generator.

use super::{Instruction, Program, Reg, Term};
use std::collections::BTreeMap;

impl Program {
    /// The same program with every draw of noise an input register, which the caller
    /// fills before the first step; [`Program::given_noise`] lists draws and registers in
    /// the order in which they are first used.
    pub fn with_given_noise(mut self) -> Program {
        let mut known: BTreeMap<u32, Reg> = BTreeMap::new();
        for step in 0..self.steps.len() {
            for index in 0..self.steps[step].instructions.len() {
                let Instruction::Noise { dst, draw } = self.steps[step].instructions[index] else { continue };
                let shape = self.registers[dst.0 as usize].shape;
                let src = *known.entry(draw).or_insert_with(|| {
                    let reg = self.register(&format!("noise {draw}"), shape);
                    self.registers[reg.0 as usize].input = true;
                    self.given_noise.push((draw, reg));
                    reg
                });
                let terms = vec![Term::new(1.0, src)];
                self.steps[step].instructions[index] = Instruction::Mix { dst, terms, clamp: None };
            }
        }
        self
    }
}
