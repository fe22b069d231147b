//! A program's instructions as kernel calls.

use super::{EngineError, NetGraph};
use crate::diffusion::program::{
    Coef, Instruction, Pointwise as F, Program, Reduce as R, Reg, Slot, Structure, Term, Time, MAX_TERMS,
};
use crate::gpu::row_pitch;
use crate::graph::plan::{Buf, Builder};
use crate::graph::GraphError;
use crate::kernels::{
    advance::Advance,
    copy_channels::CopyChannels,
    fill::Fill,
    gate::STATUS_WORDS,
    mean::Mean,
    mix, noise,
    pack::{CountBad, Pack},
    pointwise,
    quantile::Quantile,
    reduce,
    select::Select,
    Call, Numbers,
};
use std::collections::HashMap;

use super::numbers::{split_terms, NumberTable, Repeat};
use super::{expression, operator};

/// What the host writes before a batch: the step counter, the index of the first
/// image and the seed, as words of one buffer.
pub const COUNTER_WORDS: usize = 8;

/// A lowered program, with what the executor must bring.
pub struct Lowered {
    /// For each step, the segments to run; those of a loop's body once.
    pub steps: Vec<Vec<usize>>,
    /// The program's loop, its range counted in segments.
    pub repeat: Option<Repeat>,
    /// The segments that evaluate a network.
    pub evals: Vec<usize>,
    /// The segment that packs the result to RGBA8.
    pub pack: usize,
    /// The segment that packs the present estimate of x0 in its place.
    pub estimate: usize,
    /// The table of numbers: a row of `stride` words a step.
    pub numbers: Vec<u32>,
    /// The buffers to bring.
    pub externals: Externals,
}

/// External buffers in the order declared, with their bytes, and where the
/// executor finds those it reads and writes.
#[derive(Debug, Default)]
pub struct Externals {
    /// (label, bytes) in order.
    pub sizes: Vec<(String, u64)>,
    /// The counter.
    pub counter: usize,
    /// The table of numbers.
    pub numbers: usize,
    /// The slots, `[slot][n]`.
    pub slots: usize,
    /// How far a loop is: words as [`STATUS_WORDS`] counts them.
    pub status: usize,
    /// Registers by [`Reg`].
    pub registers: Vec<usize>,
    /// Class inputs by [`Slot`].
    pub labels: HashMap<Slot, usize>,
    /// RGBA8 pixels, a word each, rows padded as textures want them.
    pub pixels: usize,
    /// Counts of values that are not finite, a word per image.
    pub bad: usize,
}

struct Lowering<'a> {
    program: &'a Program,
    nets: &'a [NetGraph],
    n: usize,
    externals: Externals,
    bufs: Vec<Buf>,
    counter: Buf,
    table: Buf,
    slots: Buf,
    time: Buf,
    stride: u32,
}

/// Lowers `program` for the builder's batch size.
pub fn lower(builder: &mut Builder, program: &Program, nets: &[NetGraph]) -> Result<Lowered, EngineError> {
    program.validate()?;
    let n = builder.n();
    let table = NumberTable::new(program);
    let mut l = Lowering::declare(builder, program, nets, n, table.stride, table.words.len());
    let mut segments: Vec<Vec<usize>> = Vec::with_capacity(table.unique.len());
    // A network is lowered once, whatever it is told in its time input.
    let mut networks: HashMap<Structure, usize> = HashMap::new();
    for (instruction, offset) in &table.unique {
        let label = instruction.kind().to_string();
        let mut list = vec![builder.segment(&label, |b| l.instruction(b, instruction, *offset))?];
        if let Some(key) = timeless(instruction) {
            let network = match networks.get(&key) {
                Some(known) => *known,
                None => builder.segment(&label, |b| l.eval(b, instruction))?,
            };
            networks.insert(key, network);
            list.push(network);
        }
        segments.push(list);
    }
    let advance = builder.segment("advance", |b| {
        Advance::By(1).calls(b.caps(), l.counter).into_iter().for_each(|c| b.call("advance", c, None));
        Ok(())
    })?;
    let pack = builder.segment("pack", |b| {
        l.pack(b, program.output);
        l.count_bad(b, program.output);
        Ok(())
    })?;
    // Samplers call their prediction of the image `x0`; one without shows its state.
    let same =
        |r: &Reg| program.registers[r.0 as usize].shape == program.registers[program.output.0 as usize].shape;
    let x0 = program.find_register("x0").filter(same).unwrap_or(program.output);
    let estimate = builder.segment("preview", |b| {
        l.pack(b, x0);
        Ok(())
    })?;
    let flat = |ids: &[usize]| ids.iter().flat_map(|id| segments[*id].clone()).collect::<Vec<usize>>();
    let repeat = table.repeat.map(|r| {
        let ids = &table.steps[r.step];
        let start = flat(&ids[..r.range.start]).len();
        Repeat { range: start..start + flat(&ids[r.range.clone()]).len(), ..r }
    });
    let steps = table.steps.iter().map(|ids| flat(ids).into_iter().chain([advance]).collect()).collect();
    let evals = networks.into_values().collect();
    Ok(Lowered { steps, repeat, evals, pack, estimate, numbers: table.words, externals: l.externals })
}

/// An evaluation but for its time; `None` for other instructions.
fn timeless(i: &Instruction) -> Option<Structure> {
    let Instruction::Eval { net, inputs, label, outs, .. } = i else { return None };
    let (net, inputs, label, outs) = (*net, inputs.clone(), *label, outs.clone());
    Some(Instruction::Eval { net, inputs, time: Time::Const(0.0), label, outs }.structure())
}

impl<'a> Lowering<'a> {
    fn declare(
        builder: &mut Builder,
        program: &'a Program,
        nets: &'a [NetGraph],
        n: usize,
        stride: u32,
        words: usize,
    ) -> Self {
        let mut externals = Externals::default();
        let mut bufs = Vec::new();
        let mut add = |label: &str, floats: usize| {
            externals.sizes.push((label.to_string(), (floats as u64 * 4).max(4).next_multiple_of(32)));
            bufs.push(builder.external(label));
            bufs.len() - 1
        };
        let counter = add("step counter", COUNTER_WORDS);
        let numbers = add("numbers", words);
        let slots = add("slots", (program.slots.len() + expression::temporaries(program)).max(1) * n);
        let time = add("time", n);
        let status = add("status", STATUS_WORDS);
        let registers: Vec<usize> = program
            .registers
            .iter()
            .map(|r| add(&format!("register {}", r.name), n * r.shape.len()))
            .collect();
        let labels = program.instructions().filter_map(|i| match i {
            Instruction::Eval { label, .. } => *label,
            _ => None,
        });
        let mut label_bufs = HashMap::new();
        for slot in labels {
            label_bufs.entry(slot).or_insert_with(|| add("label", n));
        }
        let out = program.registers[program.output.0 as usize].shape;
        let pixels = add("pixels", n * out.h * row_pitch(out.w) / 4);
        let bad = add("bad counts", n);
        externals.counter = counter;
        externals.numbers = numbers;
        externals.slots = slots;
        externals.status = status;
        externals.registers = registers;
        externals.labels = label_bufs;
        externals.pixels = pixels;
        externals.bad = bad;
        Lowering {
            program,
            nets,
            n,
            counter: bufs[counter],
            table: bufs[numbers],
            slots: bufs[slots],
            time: bufs[time],
            externals,
            bufs,
            stride,
        }
    }

    fn reg(&self, r: Reg) -> Buf {
        self.bufs[self.externals.registers[r.0 as usize]]
    }

    fn len(&self, r: Reg) -> usize {
        self.program.registers[r.0 as usize].shape.len()
    }

    fn numbers(&self, offset: u32) -> Numbers<Buf> {
        Numbers { counter: self.counter, table: self.table, stride: self.stride, offset }
    }

    fn instruction(&mut self, b: &mut Builder, i: &Instruction, offset: u32) -> Result<(), GraphError> {
        let caps = *b.caps();
        let numbers = self.numbers(offset);
        let n = self.n;
        match i {
            Instruction::Eval { net, time, .. } => self.time(b, *net, *time, &numbers),
            Instruction::Mix { dst, terms, clamp } => {
                let shape = self.program.registers[dst.0 as usize].shape;
                let (own, others) = split_terms(*dst, terms);
                let hazard = others.iter().any(|t| t.src == *dst);
                // A destination that cannot be summed in place takes a source: then there
                // may be more than a kernel has, and the sum is made in parts.
                let parts = others.len().div_ceil(MAX_TERMS);
                self.write(b, "mix", *dst, hazard, |to| {
                    let mut numbers = self.numbers(offset);
                    let mut calls = Vec::new();
                    for (i, part) in others.chunks(MAX_TERMS).enumerate() {
                        let term = |t: &&Term| mix::Term {
                            channels: shape.c,
                            from: 0,
                            slot: t.coef.slot().map(|s| s.0),
                        };
                        let call = mix::Mix {
                            n,
                            pixels: shape.pixels(),
                            c: shape.c,
                            terms: part.iter().map(term).collect(),
                            accumulate: own.is_some() || i > 0,
                            clamp: clamp.is_some() && i + 1 == parts,
                        };
                        let srcs: Vec<Buf> = part.iter().map(|t| self.reg(t.src)).collect();
                        calls.extend(call.calls(&caps, &srcs, to, &numbers, Some(self.slots)));
                        numbers.offset += part.len() as u32 + 3;
                    }
                    calls
                })?;
            }
            Instruction::Pointwise { dst, f, srcs } => {
                let (function, second) = match f {
                    F::Mul => (pointwise::Function::Mul, Some(self.reg(srcs[1]))),
                    F::Exp { .. } => (pointwise::Function::Exp, None),
                    F::Tanh => (pointwise::Function::Tanh, None),
                    F::Sqrt => (pointwise::Function::Sqrt, None),
                    F::Clamp(s) => (pointwise::Function::ClampSlot(s.0), Some(self.slots)),
                };
                let call = pointwise::Pointwise { n, len: self.len(*dst), f: function };
                let hazard = srcs.contains(dst);
                self.write(b, "pointwise", *dst, hazard, |to| {
                    call.calls(&caps, self.reg(srcs[0]), second, to, &numbers)
                })?;
            }
            Instruction::Fill { dst, value } => {
                let fill = Fill { n, len: self.len(*dst), at: 0 };
                self.write(b, "fill", *dst, false, |to| match value {
                    Coef::Const(_) => fill.calls(&caps, to, &numbers),
                    Coef::Slot(s) => fill.calls_slot(&caps, to, self.slots, s.0),
                    Coef::SlotTimes(s, _) => fill.calls_slot_times(&caps, to, self.slots, s.0, &numbers),
                })?;
            }
            Instruction::Noise { dst, .. } => {
                let table = b.weight(
                    "@noise table".into(),
                    Box::new(|| Ok(bytemuck::cast_slice(&noise::table_words()).to_vec())),
                );
                let call = noise::Noise { n, len: self.len(*dst), ..Default::default() };
                self.write(b, "noise", *dst, false, |to| call.calls_tabled(&caps, table, to, &numbers))?;
            }
            Instruction::Apply { dst, operator: index, src } => {
                let label = format!("apply {}", self.program.registers[dst.0 as usize].name);
                let map = &self.program.operators[*index].map;
                operator::apply(b, &label, map, &self.numbers(0), (self.reg(*src), self.reg(*dst)))?;
            }
            Instruction::Reduce { slot, kind, srcs } => {
                let len = srcs.first().map_or(0, |r| self.len(*r));
                let srcs: Vec<Buf> = srcs.iter().map(|r| self.reg(*r)).collect();
                for c in self.reduce(b, *slot, *kind, &srcs, len) {
                    b.call("reduce", c, None);
                }
            }
            Instruction::Scalar { slot, expr } => {
                let temporaries = self.program.slots.len() as u32;
                let (call, tables) = expression::compile(*slot, expr, &self.program.tables, temporaries);
                let code = constant(b, "code", call.encode());
                let tables = constant(b, "tables", tables.iter().map(|v| v.to_bits()).collect());
                for c in call.calls(&caps, n, 0, code, tables, &numbers, self.slots) {
                    b.call("scalar", c, None);
                }
            }
            Instruction::Select { dst, cond, a, b: other } => {
                let call = Select { n, len: self.len(*dst), slot: cond.0 };
                let (a, o) = (self.reg(*a), self.reg(*other));
                let hazard = i.reads().contains(dst);
                self.write(b, "select", *dst, hazard, |to| call.calls(&caps, a, o, self.slots, to))?;
            }
            Instruction::Mean { slot, src } => {
                let call = Mean { n, from: src.0, to: slot.0 };
                call.calls(&caps, self.slots).into_iter().for_each(|c| b.call("mean", c, None));
            }
            // Its body is lowered as if it were part of the step.
            Instruction::Loop { .. } => {}
        }
        Ok(())
    }
}

impl Lowering<'_> {
    /// Emits calls that write `dst`. Where they also read it (`hazard`), they
    /// write to scratch first: a dispatch never binds one buffer both ways.
    fn write(
        &self,
        b: &mut Builder,
        label: &str,
        dst: Reg,
        hazard: bool,
        make: impl FnOnce(Buf) -> Vec<Call<Buf>>,
    ) -> Result<(), GraphError> {
        let shape = self.program.registers[dst.0 as usize].shape;
        let label = format!("{label} {}", self.program.registers[dst.0 as usize].name);
        let target = self.reg(dst);
        let to = if hazard { b.scratch(&label, self.n * shape.len())? } else { target };
        let calls = make(to);
        let last = calls.len().saturating_sub(1);
        for (i, c) in calls.into_iter().enumerate() {
            b.call(&label, c, (i == last).then_some((to, shape.len())));
        }
        if hazard {
            let copy = CopyChannels {
                pixels: self.n * shape.pixels(),
                c: shape.c,
                src_c: shape.c,
                dst_c: shape.c,
                ..Default::default()
            };
            let caps = *b.caps();
            copy.calls(&caps, to, target).into_iter().for_each(|c| b.call(&label, c, None));
        }
        Ok(())
    }

    fn reduce(&self, b: &Builder, slot: Slot, kind: R, srcs: &[Buf], len: usize) -> Vec<Call<Buf>> {
        let (n, slot) = (self.n, slot.0);
        let sum = |sum, scale, root| {
            reduce::Reduce { n, len, slot, scale, root, sum }.calls(b.caps(), srcs, self.slots)
        };
        match kind {
            R::SumSquares => sum(reduce::Sum::Squares, 1.0, false),
            R::Dot => sum(reduce::Sum::Dot, 1.0, false),
            R::WeightedError { atol, rtol } | R::GreaterError { atol, rtol } => {
                let greater = matches!(kind, R::GreaterError { .. });
                let error = reduce::Sum::Error { atol: atol as f32, rtol: rtol as f32, greater };
                sum(error, 1.0 / len.max(1) as f32, true)
            }
            R::QuantileAbs(q) => {
                let quantile = Quantile { n, len, slot, q, least: 0.0, most: f32::MAX };
                quantile.calls(b.caps(), srcs[0], self.slots)
            }
        }
    }

    /// Puts a network's time where it reads it.
    fn time(&self, b: &mut Builder, net: usize, time: Time, numbers: &Numbers<Buf>) {
        if self.nets.get(net).is_some_and(|graph| graph.time.is_some()) {
            let (caps, fill) = (*b.caps(), Fill { n: self.n, len: 1, at: 0 });
            let calls = match time {
                Time::Const(_) => fill.calls(&caps, self.time, numbers),
                Time::Slot(slot) => fill.calls_slot(&caps, self.time, self.slots, slot.0),
            };
            calls.into_iter().for_each(|c| b.call("time", c, None));
        }
    }

    fn eval(&self, b: &mut Builder, i: &Instruction) -> Result<(), GraphError> {
        let Instruction::Eval { net, inputs, label, outs, .. } = i else {
            return Err(GraphError::Internal("not an evaluation".into()));
        };
        let caps = *b.caps();
        let missing = |what: &str| GraphError::Internal(format!("the network has no {what}"));
        let graph = self.nets.get(*net).ok_or_else(|| missing("graph"))?;
        let mut given: Vec<(&str, Buf)> =
            graph.images.iter().map(String::as_str).zip(inputs.iter().map(|r| self.reg(*r))).collect();
        if let Some(time) = &graph.time {
            given.push((time, self.time));
        }
        match (&graph.label, label) {
            (Some(name), Some(slot)) => given.push((name, self.bufs[self.externals.labels[slot]])),
            (None, None) => {}
            _ => return Err(missing("matching class input")),
        }
        let output = self.program.nets[*net].output;
        if let [only] = &outs[..] {
            if only.channels == (0..output.c) {
                return b.network(&graph.graph, &given, &[(&graph.output, self.reg(only.dst))]);
            }
        }
        // Ranges of channels: the output goes to scratch and is taken apart.
        let whole = b.scratch("network output", self.n * output.len())?;
        b.network(&graph.graph, &given, &[(&graph.output, whole)])?;
        for out in outs {
            let copy = CopyChannels {
                pixels: self.n * output.pixels(),
                c: out.channels.len(),
                src_c: output.c,
                src_at: out.channels.start,
                dst_c: out.channels.len(),
                dst_at: 0,
            };
            let result = Some((self.reg(out.dst), self.len(out.dst)));
            for c in copy.calls(&caps, whole, self.reg(out.dst)) {
                b.call("network output", c, result);
            }
        }
        Ok(())
    }

    fn pack(&self, b: &mut Builder, from: Reg) {
        let shape = self.program.registers[from.0 as usize].shape;
        let pitch = row_pitch(shape.w) / 4;
        let pack = Pack { rows: self.n * shape.h, w: shape.w, c: shape.c, pitch };
        let caps = *b.caps();
        let calls = pack.calls(&caps, self.reg(from), self.bufs[self.externals.pixels]);
        calls.into_iter().for_each(|c| b.call("pack", c, None));
    }

    fn count_bad(&self, b: &mut Builder, from: Reg) {
        let count = CountBad { n: self.n, len: self.len(from), ..Default::default() };
        let caps = *b.caps();
        let calls = count.calls(&caps, self.reg(from), self.bufs[self.externals.bad]);
        calls.into_iter().for_each(|c| b.call("count_bad", c, None));
    }
}

/// Words that never change, shared by their contents.
pub(super) fn constant(b: &mut Builder, what: &str, words: Vec<u32>) -> Buf {
    let key = format!("@{what} {:016x} {}", noise::fnv(words.iter().copied()), words.len());
    b.weight(key, Box::new(move || Ok(bytemuck::cast_slice(&words).to_vec())))
}
