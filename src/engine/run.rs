//! One batch on its way through the device: chunk by chunk, cut to a budget.

use super::executable::{Batch, Executable};
use super::output::{Drawn, Pending};
use super::pace::Ran;
use super::EngineError;
use crate::clock::Instant;
use crate::gpu::{Part, Ticket};
use std::collections::VecDeque;
use std::time::Duration;

/// The shortest chunk that is worth a submission.
const LEAST: Duration = Duration::from_micros(200);
/// The most dispatches of a chunk.
const MOST: usize = 4096;
/// With less than this share of the budget left, the next dispatch waits for the next chunk.
const REST: f64 = 0.2;

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
    Drawn(Drawn),
}

#[derive(Debug)]
struct Chunk {
    ticket: Ticket,
    submitted: Instant,
    ran: Vec<Ran>,
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
                (None, Some(pending)) => Ok(Turn::Drawn(pending.take(exe)?)),
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
        let ran = self.record(exe, &mut encoder, budget.max(LEAST).as_secs_f64());
        if self.step == exe.steps().len() {
            self.pending = Some(Pending::record(exe, &mut encoder)?);
        }
        let ticket = exe.gpu().submit(encoder)?;
        self.in_flight.push_back(Chunk { ticket, submitted: Instant::now(), ran });
        Ok(Turn::Submitted)
    }

    /// How far it is.
    pub fn status(&self, exe: &Executable) -> Status {
        Status {
            step: self.step,
            steps: exe.steps().len(),
            fraction: self.submitted as f64 / exe.dispatches().max(1) as f64,
        }
    }

    /// Takes chunks that are done off the list and learns how long they took.
    fn look(&mut self, exe: &Executable) -> Result<(), EngineError> {
        while let Some(chunk) = self.in_flight.front() {
            let Some(done) = chunk.ticket.look()? else { break };
            let began = self.last_done.map_or(chunk.submitted, |last| last.max(chunk.submitted));
            exe.pace().learn(&chunk.ran, done.saturating_duration_since(began).as_secs_f64());
            self.last_done = Some(done);
            self.in_flight.pop_front();
        }
        Ok(())
    }

    /// Records what fits `budget` seconds into one pass.
    fn record(&mut self, exe: &Executable, encoder: &mut wgpu::CommandEncoder, budget: f64) -> Vec<Ran> {
        let pace = exe.pace();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let (mut ran, mut left, mut place) = (Vec::new(), budget, 0);
        let mut part = |i, base, groups, pass: &mut wgpu::ComputePass<'_>| {
            exe.plan().record_part(exe.gpu(), i, place, Part { base, groups }, pass);
            place += 1;
        };
        let _ = self.next(exe);
        let stop = (self.step / self.stop_every).saturating_add(1).saturating_mul(self.stop_every);
        while let Some(i) = self.next(exe).filter(|_| ran.len() < MOST) {
            if self.step >= stop {
                break;
            }
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
                        self.passed();
                    }
                    break;
                }
            }
            match self.base {
                0 => dispatch.record(&mut pass),
                base => part(i, base, rest, &mut pass),
            }
            self.passed();
            ran.push((i, share));
            left -= takes;
        }
        // A step that is fully recorded is left behind at once.
        let _ = self.next(exe);
        ran
    }

    /// The dispatch that comes next; steps over the ends of segments and steps.
    fn next(&mut self, exe: &Executable) -> Option<usize> {
        loop {
            let step = exe.steps().get(self.step)?;
            match step.get(self.segment) {
                None => (self.step, self.segment, self.offset) = (self.step + 1, 0, 0),
                Some(&segment) => {
                    let calls = exe.plan().calls(segment);
                    if self.offset < calls.len() {
                        return Some(calls.start + self.offset);
                    }
                    (self.segment, self.offset) = (self.segment + 1, 0);
                }
            }
        }
    }

    /// The next dispatch is submitted whole.
    fn passed(&mut self) {
        self.offset += 1;
        self.base = 0;
        self.submitted += 1;
    }
}
