//! Progress for a person: a bar on a terminal, plain lines elsewhere.

use crate::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use undiffuse::pipeline::Job;

/// Says how far a run is, on stderr.
pub struct Progress {
    bar: Option<ProgressBar>,
    start: Instant,
    said: f64,
}

impl Progress {
    /// Of work that is done at 1.0.
    pub fn new() -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:32} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, start: Instant::now(), said: 0.0 }
    }

    /// Shows `fraction` (0 to 1) with `what`, and the time left.
    pub fn show(&mut self, fraction: f64, what: &str) {
        let passed = self.start.elapsed().as_secs_f64();
        let left = if fraction > 0.01 { passed / fraction - passed } else { f64::NAN };
        let left = if left.is_finite() { format!(", {left:.0} s left") } else { String::new() };
        match &self.bar {
            Some(bar) => {
                bar.set_position((fraction * 1000.0) as u64);
                bar.set_message(format!("{what}{left}"));
            }
            // A line each tenth, not more often than a reader can use.
            None if fraction - self.said >= 0.1 => {
                self.said = fraction;
                say!("{:3.0} %  {what}{left}", fraction * 100.0);
            }
            None => {}
        }
    }

    /// Clears the bar.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What Ctrl-C sets, of all jobs of the process.
pub fn interrupt() -> Result<Arc<AtomicBool>, Failure> {
    static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(stop) = STOP.get() {
        return Ok(stop.clone());
    }
    let flag = STOP.get_or_init(Arc::default).clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    interrupt()
}

/// Runs a job to its end, showing how far it is; Ctrl-C stops it.
pub fn finish(job: &mut Job, what: &str) -> Result<(), Failure> {
    let stop = interrupt()?;
    let mut progress = Progress::new();
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            progress.done();
            return Err(Failure::Cancelled);
        }
        let text = format!("{what} {}/{}, step {}/{}", p.images, p.count, p.step, p.steps);
        progress.show(p.fraction(), &text);
    }
    progress.done();
    Ok(())
}
