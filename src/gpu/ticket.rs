//! Completion: a [`Ticket`] for each submission, punched when its work is done.
//!
//! On native systems one thread a device waits for submissions in their order and
//! notes the moment at which each is done. Nobody else has to poll: an application
//! that never does, or does so on a thread of its own, changes nothing. (Callbacks
//! of the application's own maps may run on this thread, as wgpu allows.) In a
//! browser the event loop calls back.

use super::GpuError;
use crate::clock::Instant;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A submission under way. Cheap to clone; a future that is ready when the work is done.
#[derive(Clone, Debug)]
pub struct Ticket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Outcome>,
    wakers: Vec<Waker>,
}

#[derive(Clone, Debug)]
enum Outcome {
    Done(Instant),
    Lost(String),
    Late(Duration),
}

impl Outcome {
    fn result(&self) -> Result<Instant, GpuError> {
        match self {
            Outcome::Done(at) => Ok(*at),
            Outcome::Lost(why) => Err(GpuError::Lost(why.clone())),
            Outcome::Late(deadline) => {
                Err(GpuError::Timeout { what: "its submitted work", deadline: *deadline })
            }
        }
    }
}

impl Ticket {
    fn new() -> Ticket {
        Ticket(Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn punch(&self, outcome: Outcome) {
        let mut state = self.state();
        state.outcome.get_or_insert(outcome);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.0.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Looks without waiting: the moment at which the work was done, or `None`.
    ///
    /// # Errors
    /// The device was lost, or did not finish in time.
    pub fn look(&self) -> Result<Option<Instant>, GpuError> {
        self.state().outcome.as_ref().map(Outcome::result).transpose()
    }

    /// Waits at most `limit`; `None` where the work still goes on then. (A browser
    /// does not let anyone wait: there it only looks.)
    ///
    /// # Errors
    /// As [`Ticket::look`].
    pub fn wait(&self, limit: Duration) -> Result<Option<Instant>, GpuError> {
        let mut state = self.state();
        if !cfg!(target_arch = "wasm32") {
            let waited = self.0.changed.wait_timeout_while(state, limit, |s| s.outcome.is_none());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.outcome.as_ref().map(Outcome::result).transpose()
    }
}

impl Future for Ticket {
    type Output = Result<Instant, GpuError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.state();
        match &state.outcome {
            Some(outcome) => Poll::Ready(outcome.result()),
            None => {
                if !state.wakers.iter().any(|w| w.will_wake(cx.waker())) {
                    state.wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::Watch;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::*;
    use std::panic::{catch_unwind, AssertUnwindSafe};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{channel, Sender};
    use std::thread::JoinHandle;

    type Entry = (wgpu::SubmissionIndex, Ticket);

    /// The thread that waits; it is started by the first submission and ends with the device.
    #[derive(Debug, Default)]
    pub struct Watch(Mutex<Option<Running>>);

    #[derive(Debug)]
    struct Running {
        sender: Sender<Entry>,
        thread: JoinHandle<()>,
        closing: Arc<AtomicBool>,
    }

    impl Watch {
        /// A ticket for the newest submission.
        pub fn ticket(
            &self,
            device: &wgpu::Device,
            _queue: &wgpu::Queue,
            index: wgpu::SubmissionIndex,
            deadline: Duration,
        ) -> Result<Ticket, GpuError> {
            let ticket = Ticket::new();
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let running = match &mut *running {
                Some(running) => running,
                none => none.insert(start(device.clone(), deadline)?),
            };
            let sent = running.sender.send((index, ticket.clone()));
            sent.map_err(|_| GpuError::Internal("the thread that watches the device has ended".into()))?;
            Ok(ticket)
        }
    }

    /// The thread has a handle of the device: it must have let go before the program
    /// ends and takes the driver away.
    impl Drop for Watch {
        fn drop(&mut self) {
            let running = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            let Some(Running { sender, thread, closing }) = running else { return };
            closing.store(true, Ordering::SeqCst);
            drop(sender);
            // The last handle may go in a callback that this very thread runs.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }

    fn start(device: wgpu::Device, deadline: Duration) -> Result<Running, GpuError> {
        let (sender, receiver) = channel::<Entry>();
        let closing = Arc::new(AtomicBool::new(false));
        let stop = closing.clone();
        let thread = std::thread::Builder::new()
            .name("undiffuse watch".into())
            .spawn(move || {
                for (index, ticket) in receiver {
                    let outcome = match stop.load(Ordering::SeqCst) {
                        true => Outcome::Lost("it was closed while work was under way".into()),
                        false => wait(&device, index, deadline),
                    };
                    ticket.punch(outcome);
                }
            })
            .map_err(|e| GpuError::Internal(format!("no thread to watch the device: {e}")))?;
        Ok(Running { sender, thread, closing })
    }

    /// Waits for one submission. wgpu panics on some driver faults: they are losses.
    fn wait(device: &wgpu::Device, index: wgpu::SubmissionIndex, deadline: Duration) -> Outcome {
        let poll = wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(deadline) };
        match catch_unwind(AssertUnwindSafe(|| device.poll(poll))) {
            Ok(Ok(_)) => Outcome::Done(Instant::now()),
            Ok(Err(wgpu::PollError::Timeout)) => Outcome::Late(deadline),
            // A lost device takes submissions and forgets them.
            Ok(Err(e)) => Outcome::Lost(e.to_string()),
            Err(_) => Outcome::Lost("the driver failed while work was awaited".into()),
        }
    }
}

#[cfg(target_arch = "wasm32")]
pub(super) use browser::Watch;

#[cfg(target_arch = "wasm32")]
mod browser {
    use super::*;

    /// Callbacks of the event loop.
    #[derive(Debug, Default)]
    pub struct Watch;

    impl Watch {
        /// A ticket for the newest submission.
        pub fn ticket(
            &self,
            _device: &wgpu::Device,
            queue: &wgpu::Queue,
            _index: wgpu::SubmissionIndex,
            _deadline: Duration,
        ) -> Result<Ticket, GpuError> {
            let ticket = Ticket::new();
            let punched = ticket.clone();
            queue.on_submitted_work_done(move || punched.punch(Outcome::Done(Instant::now())));
            Ok(ticket)
        }
    }
}
