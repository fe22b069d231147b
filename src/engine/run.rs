//! One batch on its way through the device: chunk by chunk, cut to a budget.

use super::executable::{Batch, Executable};
use super::output::{Drawn, Pending};
use super::pace::Ran;
use super::repeat::STATUS_BYTES;
use super::EngineError;
use crate::clock::Instant;
use crate::gpu::{GpuError, Part, Readback, Ticket, DEADLINE};
use crate::kernels::gate::Mode;
use std::collections::VecDeque;
use std::time::Duration;

/// The shortest chunk that is worth a submission.
const LEAST: Duration = Duration::from_micros(200);
/// The time that a chunk should take of a batch that is waited for.
const CHUNK: Duration = Duration::from_millis(100);
/// The most dispatches of a chunk.
const MOST: usize = 4096;
/// With less than this share of the budget left, the next dispatch waits for the next chunk.
const REST: f64 = 0.2;
/// The host looks how far a loop is once in so many network evaluations at most: a pass of `rk45`,
/// so that with the looks behind the last one they are still no more than one in four.
const EVALS_A_LOOK: usize = 6;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Steps that are submitted.
    pub step: usize,
    /// All steps.
    pub steps: usize,
    /// From 0 to 1, in dispatches.
    pub fraction: f64,
}

/// What a [`Run`] did when it was its turn.
#[derive(Debug)]
pub enum Turn {
    /// A chunk was submitted.
    Submitted,
    /// There is no room: enough is under way until this is done.
    Wait(Ticket),
    /// The batch is drawn.
    Drawn(Box<Drawn>),
}

#[derive(Debug)]
struct Chunk {
    ticket: Ticket,
    submitted: Instant,
    ran: Vec<Ran>,
    /// Whether any of it belongs to a loop's passes.
    looped: bool,
    status: Option<(Readback, wgpu::Buffer)>,
}

/// What is to be recorded next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Call(usize),
    /// A loop is to be entered, a pass of it is over, or it is to be left.
    Gate(Mode),
}

/// How far the program's loop is, as the host knows it: what it has submitted, and what
/// it was told of submissions that are done.
#[derive(Debug, Default)]
struct Passing {
    /// Between the loop's entry and its end.
    inside: bool,
    /// The loop of this step is behind.
    left: bool,
    /// The program's loop is behind.
    over: bool,
    /// Passes submitted.
    passes: u32,
    /// The device said that all images are done.
    done: bool,
    /// Network evaluations submitted since the status was last asked for.
    evals: usize,
    /// How often it was.
    looks: u32,
    /// Chunks that are done, but perhaps ran with the gate shut: what they took is
    /// learnt when a later status says that it was open.
    unlearnt: Vec<(Vec<Ran>, f64)>,
    /// Buffers for the status that are not in use.
    idle: Vec<wgpu::Buffer>,
}

/// A batch between its first dispatch and its last. It may be dropped at any time.
#[derive(Debug)]
pub struct Run {
    step: usize,
    segment: usize,
    offset: usize,
    /// Workgroups of the next dispatch that are submitted already.
    base: u32,
    submitted: usize,
    in_flight: VecDeque<Chunk>,
    last_done: Option<Instant>,
    pending: Option<Pending>,
    stop_every: usize,
    passing: Passing,
}

impl Passing {
    /// Nobody knows how many passes there will be: each is a share of what is left.
    fn fraction(&self) -> f64 {
        if self.over {
            1.0
        } else {
            1.0 - 0.95f64.powf(f64::from(self.passes))
        }
    }
}

impl Executable {
    /// Begins a batch: everything the GPU needs to know is written here.
    ///
    /// # Errors
    /// An input that is missing or of the wrong length.
    pub fn start(&self, batch: &Batch) -> Result<Run, EngineError> {
        self.write_batch(batch)?;
        Ok(Run::new())
    }

    /// Runs a batch from its first dispatch to its last, and waits.
    ///
    /// # Errors
    /// As [`Executable::start`]; a timeout or a lost device.
    pub fn draw(&self, batch: &Batch) -> Result<Drawn, EngineError> {
        let mut run = self.start(batch)?;
        loop {
            match run.turn(self, CHUNK)? {
                Turn::Submitted => {}
                Turn::Wait(ticket) if ticket.wait(DEADLINE)?.is_none() => {
                    return Err(GpuError::Timeout { what: "a batch", deadline: DEADLINE }.into());
                }
                Turn::Wait(_) => {}
                Turn::Drawn(drawn) => return Ok(*drawn),
            }
        }
    }
}

impl Run {
    fn new() -> Run {
        Run {
            step: 0,
            segment: 0,
            offset: 0,
            base: 0,
            submitted: 0,
            in_flight: VecDeque::new(),
            last_done: None,
            pending: None,
            stop_every: usize::MAX,
            passing: Passing::default(),
        }
    }

    /// No chunk goes past a step that is a multiple of `n`.
    pub fn stop_every(&mut self, n: usize) {
        self.stop_every = n.max(1);
    }

    /// Does what can be done without waiting: looks which chunks are done, and
    /// submits one that should take about `budget` if no more is under way than
    /// one that runs (and, where submissions queue without blocking, one behind it).
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn turn(&mut self, exe: &Executable, budget: Duration) -> Result<Turn, EngineError> {
        self.look(exe)?;
        if self.step >= exe.steps().len() {
            return match (self.in_flight.front(), self.pending.take()) {
                (None, Some(pending)) => {
                    let mut drawn = pending.take(exe)?;
                    drawn.passes.iter_mut().for_each(|p| p.looks = self.passing.looks);
                    Ok(Turn::Drawn(Box::new(drawn)))
                }
                (None, None) => Err(EngineError::Internal("a batch is drawn already".into())),
                (Some(chunk), pending) => {
                    self.pending = pending;
                    Ok(Turn::Wait(chunk.ticket.clone()))
                }
            };
        }
        if let Some(chunk) = self.in_flight.front().filter(|_| self.in_flight.len() >= exe.room()) {
            return Ok(Turn::Wait(chunk.ticket.clone()));
        }
        let mut encoder = exe.gpu().encoder();
        let (ran, looped) = self.record(exe, &mut encoder, budget.max(LEAST).as_secs_f64());
        let status = self.ask(exe, &mut encoder)?;
        if self.step == exe.steps().len() {
            self.pending = Some(Pending::record(exe, &mut encoder)?);
        }
        let ticket = exe.gpu().submit(encoder)?;
        self.in_flight.push_back(Chunk { ticket, submitted: Instant::now(), ran, looped, status });
        Ok(Turn::Submitted)
    }

    /// How far it is.
    pub fn status(&self, exe: &Executable) -> Status {
        Status {
            step: self.step,
            steps: exe.steps().len(),
            fraction: (self.submitted as f64 + exe.loop_dispatches() as f64 * self.passing.fraction())
                / exe.dispatches().max(1) as f64,
        }
    }

    /// Takes chunks that are done off the list and learns how long they took.
    fn look(&mut self, exe: &Executable) -> Result<(), EngineError> {
        while let Some(chunk) = self.in_flight.front() {
            let Some(done) = chunk.ticket.look()? else { break };
            let began = self.last_done.map_or(chunk.submitted, |last| last.max(chunk.submitted));
            let took = done.saturating_duration_since(began).as_secs_f64();
            self.last_done = Some(done);
            let Some(chunk) = self.in_flight.pop_front() else { break };
            match chunk.looped {
                false => exe.pace().learn(&chunk.ran, took),
                true => self.passing.unlearnt.push((chunk.ran, took)),
            }
            if let Some((readback, buffer)) = chunk.status {
                let done = readback.take()?.first().is_some_and(|byte| *byte != 0);
                self.passing.idle.push(buffer);
                let learnt = std::mem::take(&mut self.passing.unlearnt);
                match done {
                    true => self.passing.done = true,
                    false => learnt.iter().for_each(|(ran, took)| exe.pace().learn(ran, *took)),
                }
            }
        }
        Ok(())
    }

    /// Asks how far the loop is, behind the chunk's dispatches: nobody waits for it.
    fn ask(
        &mut self,
        exe: &Executable,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Option<(Readback, wgpu::Buffer)>, EngineError> {
        if !self.passing.inside || self.passing.done || self.passing.evals < EVALS_A_LOOK {
            return Ok(None);
        }
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let buffer = match self.passing.idle.pop() {
            Some(buffer) => buffer,
            None => exe.gpu().buffer("status", STATUS_BYTES, usage)?,
        };
        encoder.copy_buffer_to_buffer(exe.state().1, 0, &buffer, 0, STATUS_BYTES);
        let readback = exe.gpu().read_on_submit(encoder, &buffer, STATUS_BYTES);
        self.passing.evals = 0;
        self.passing.looks += 1;
        Ok(Some((readback, buffer)))
    }

    /// Records what fits `budget` seconds into one pass, and tells whether passes of a
    /// loop are among it. A chunk ends where a loop begins and where it ends: within
    /// one, the gate governs all that a chunk has.
    fn record(
        &mut self,
        exe: &Executable,
        encoder: &mut wgpu::CommandEncoder,
        budget: f64,
    ) -> (Vec<Ran>, bool) {
        let pace = exe.pace();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let (mut ran, mut left, mut place) = (Vec::new(), budget, 0);
        let mut part = |i, base, groups, pass: &mut wgpu::ComputePass<'_>| {
            exe.plan().record_part(exe.gpu(), i, place, Part { base, groups }, pass);
            place += 1;
        };
        let mut started = false;
        let gate = |mode, step, pass: &mut wgpu::ComputePass<'_>| {
            exe.repeat(step).into_iter().for_each(|l| l.record(mode, pass));
        };
        // Not where the loop is left: the places of parts stay shut for what comes behind.
        match self.next(exe) {
            None | Some(Next::Gate(Mode::Leave)) => {}
            Some(_) if self.passing.inside => gate(Mode::Again, self.step, &mut pass),
            Some(_) => {}
        }
        let mut looped = self.passing.inside;
        let stop = (self.step / self.stop_every).saturating_add(1).saturating_mul(self.stop_every);
        while let Some(next) = self.next(exe).filter(|_| ran.len() < MOST) {
            if self.step >= stop {
                break;
            }
            let i = match next {
                Next::Call(i) => i,
                Next::Gate(mode) => {
                    if mode != Mode::Pass && started {
                        break;
                    }
                    gate(mode, self.step, &mut pass);
                    // It may have shut parts: what comes behind the loop is another chunk.
                    started |= mode == Mode::Pass;
                    self.gated(exe, mode);
                    looped = self.passing.inside;
                    continue;
                }
            };
            started = true;
            let (dispatch, ..) = exe.plan().call(i);
            let all = dispatch.groups();
            let rest = all - self.base;
            let share = f64::from(rest) / f64::from(all.max(1));
            let takes = pace.estimate(i) * share;
            if takes > left {
                let fits = (f64::from(rest) * left / takes) as u32;
                if !ran.is_empty() && (left < REST * budget || fits == 0) {
                    break;
                }
                if fits < rest {
                    let groups = fits.max(1);
                    part(i, self.base, groups, &mut pass);
                    self.base += groups;
                    ran.push((i, f64::from(groups) / f64::from(all.max(1))));
                    if self.base == all {
                        self.passed(exe);
                    }
                    break;
                }
            }
            match self.base {
                0 => dispatch.record(&mut pass),
                base => part(i, base, rest, &mut pass),
            }
            self.passed(exe);
            ran.push((i, share));
            left -= takes;
        }
        // A step that is fully recorded is left behind at once.
        let _ = self.next(exe);
        (ran, looped)
    }

    /// What comes next; steps over the ends of segments and steps.
    fn next(&mut self, exe: &Executable) -> Option<Next> {
        loop {
            let step = exe.steps().get(self.step)?;
            if let Some(l) = exe.repeat(self.step) {
                let p = &mut self.passing;
                if p.inside && (p.done || p.passes == l.at_most) {
                    return Some(Next::Gate(Mode::Leave));
                }
                if p.inside && self.segment == l.range.end {
                    return Some(Next::Gate(Mode::Pass));
                }
                if !p.inside && !p.left && self.segment == l.range.start {
                    return Some(Next::Gate(Mode::Enter));
                }
            }
            match step.get(self.segment) {
                None => {
                    (self.step, self.segment, self.offset) = (self.step + 1, 0, 0);
                    self.passing.left = false;
                }
                Some(&segment) => {
                    let calls = exe.plan().calls(segment);
                    if self.offset < calls.len() {
                        return Some(Next::Call(calls.start + self.offset));
                    }
                    (self.segment, self.offset) = (self.segment + 1, 0);
                }
            }
        }
    }

    /// The next dispatch is submitted whole.
    fn passed(&mut self, exe: &Executable) {
        let segment = exe.steps().get(self.step).and_then(|step| step.get(self.segment));
        if self.offset == 0 && segment.is_some_and(|&s| exe.is_eval(s)) {
            self.passing.evals += 1;
        }
        self.offset += 1;
        self.base = 0;
        self.submitted += usize::from(!self.passing.inside);
    }

    /// A gate is submitted.
    fn gated(&mut self, exe: &Executable, mode: Mode) {
        let Some(l) = exe.repeat(self.step) else { return };
        let p = &mut self.passing;
        match mode {
            Mode::Enter => (p.inside, p.passes, p.done, p.evals) = (true, 0, false, 0),
            Mode::Pass => {
                p.passes += 1;
                (self.segment, self.offset, self.base) = (l.range.start, 0, 0);
            }
            Mode::Leave => {
                (p.inside, p.left, p.over) = (false, true, true);
                (self.segment, self.offset, self.base) = (l.range.end, 0, 0);
            }
            Mode::Again => {}
        }
    }
}
