//! The table of numbers: what changes from step to step.
//!
//! Instructions that differ in numbers alone (time, coefficients, draw) are
//! lowered once. Their numbers lie in a table with a row per step; kernels find
//! them at `counter * stride + offset`, the counter being on the GPU.

use crate::diffusion::program::{Coef, Instruction, Program, Reg, Slot, Structure, Term, Time, MAX_TERMS};
use std::collections::HashMap;
use std::ops::Range;

/// The instructions of a program without their numbers, and the numbers.
pub struct NumberTable<'a> {
    /// An instruction of each kind that must be lowered, with the offset of its
    /// numbers in a row.
    pub unique: Vec<(&'a Instruction, u32)>,
    /// For each step, indices into `unique`; a loop's body stands once.
    pub steps: Vec<Vec<usize>>,
    /// The program's loop.
    pub repeat: Option<Repeat>,
    /// Words of a row.
    pub stride: u32,
    /// The rows.
    pub words: Vec<u32>,
}

/// A loop: which part of which step is run again and again.
#[derive(Clone, Debug)]
pub struct Repeat {
    /// The step.
    pub step: usize,
    /// The part of its list.
    pub range: Range<usize>,
    /// Whether an image is done.
    pub until: Slot,
    /// The most passes.
    pub at_most: u32,
}

/// Structure, the numbers that a kernel wants to know beforehand, and which of
/// the step's equals it is.
type Key = (Structure, Vec<u64>, usize);

/// Reductions take their tolerances and quantiles as parameters.
fn fixed_numbers(i: &Instruction) -> Vec<u64> {
    match i {
        Instruction::Reduce { .. } => i.numbers().into_iter().map(f64::to_bits).collect(),
        _ => Vec::new(),
    }
}

impl<'a> NumberTable<'a> {
    pub fn new(program: &'a Program) -> NumberTable<'a> {
        let mut seen: HashMap<Key, usize> = HashMap::new();
        let mut unique: Vec<(&Instruction, u32)> = Vec::new();
        let (mut steps, mut rows) = (Vec::new(), Vec::new());
        let (mut stride, mut repeat) = (0, None);
        for (index, step) in program.steps.iter().enumerate() {
            // The same structure twice in a step needs two sets of numbers.
            let mut ordinals: HashMap<(Structure, Vec<u64>, bool), usize> = HashMap::new();
            let (mut ids, mut row) = (Vec::new(), Vec::new());
            let mut list = Vec::new();
            for instruction in &step.instructions {
                match instruction {
                    Instruction::Loop { body, until, at_most } => {
                        let range = list.len()..list.len() + body.len();
                        repeat = Some(Repeat { step: index, range, until: *until, at_most: *at_most });
                        list.extend(body);
                    }
                    other => list.push(other),
                }
            }
            for instruction in list {
                let (structure, fixed) = (instruction.structure(), fixed_numbers(instruction));
                let words = words(instruction);
                // What has no numbers is the same thing each time.
                let key = (structure.clone(), fixed.clone(), words.is_empty());
                let ordinal = ordinals.entry(key).or_insert(0);
                let id = *seen.entry((structure, fixed, *ordinal)).or_insert_with(|| {
                    unique.push((instruction, stride));
                    stride += words.len() as u32;
                    unique.len() - 1
                });
                *ordinal += usize::from(!words.is_empty());
                ids.push(id);
                row.push((id, words));
            }
            steps.push(ids);
            rows.push(row);
        }
        let stride = stride.max(1);
        let mut words = vec![0u32; stride as usize * rows.len().max(1)];
        for (i, row) in rows.iter().enumerate() {
            for (id, numbers) in row {
                let at = i * stride as usize + unique[*id].1 as usize;
                words[at..at + numbers.len()].copy_from_slice(numbers);
            }
        }
        NumberTable { unique, steps, repeat, stride, words }
    }
}

/// An instruction's numbers as the kernels read them.
fn words(instruction: &Instruction) -> Vec<u32> {
    let f = |v: f64| (v as f32).to_bits();
    match instruction {
        Instruction::Mix { dst, terms, clamp } => {
            let factor = |t: &Term| t.coef.factor();
            let (own, others) = split_terms(*dst, terms);
            let (lo, hi) = clamp.unwrap_or((0.0, 0.0));
            let mut words = Vec::new();
            for (i, part) in others.chunks(MAX_TERMS).enumerate() {
                words.extend(part.iter().map(|t| f(factor(t))));
                let keep = if i == 0 { own.map_or(0.0, factor) } else { 1.0 };
                words.extend([f(keep), f(lo), f(hi)]);
            }
            words
        }
        Instruction::Fill { value, .. } => vec![f(value.factor())],
        Instruction::Noise { draw, .. } => vec![*draw],
        Instruction::Eval { time: Time::Slot(_), .. } => Vec::new(),
        other => other.numbers().into_iter().map(f).collect(),
    }
}

/// The term that reads `dst` itself, where it can be summed in place, and the others.
pub fn split_terms(dst: Reg, terms: &[Term]) -> (Option<&Term>, Vec<&Term>) {
    let plain = |t: &&Term| t.src == dst && matches!(t.coef, Coef::Const(_));
    let in_place = terms.len() > 1 && terms.iter().filter(|t| t.src == dst).count() == 1;
    let own = terms.iter().find(plain).filter(|_| in_place);
    (own, terms.iter().filter(|t| own.is_none() || t.src != dst).collect())
}
