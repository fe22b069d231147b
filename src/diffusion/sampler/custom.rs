//! Samplers that an application brings: a Rust function from a [`Context`] to a
//! [`Program`], used wherever one of this library's is.
//!
//! Euler's method on the probability flow in `y = x / alpha`, where `dy / dsigma = eps`:
//!
//! ```
//! use undiffuse::diffusion::program::Program;
//! use undiffuse::diffusion::sampler::{Context, Draft, Sampler};
//! use undiffuse::diffusion::{Error, SchedulerConfig};
//! use undiffuse::shape::Shape;
//!
//! fn euler(context: &Context<'_>) -> Result<Program, Error> {
//!     let mut d = Draft::new(context, "my_euler")?;
//!     let times: Vec<usize> = d.times().to_vec();
//!     for (k, &t) in times.iter().enumerate() {
//!         let (here, next) = (d.level(t), d.level_after(k));
//!         let mut step = d.predict(t)?;
//!         let (x, eps) = (d.x(), d.eps());
//!         step.push(d.mix(x, &[(next.alpha / here.alpha, x),
//!             (next.alpha * (next.sigma() - here.sigma()), eps)]));
//!         d.push(t, step);
//!     }
//!     d.finish()
//! }
//!
//! let sampler = Sampler::register("my_euler", "Euler's method, written by me", 30, euler)?;
//! assert_eq!("my_euler".parse::<Sampler>()?, sampler);
//! let config = SchedulerConfig { clip_sample: false, ..Default::default() };
//! let program = sampler.program(&Context::new(&config, Shape::new(4, 4, 1), 10))?;
//! assert_eq!(program.nfe(), 10);
//! # Ok::<(), Error>(())
//! ```
//!
//! A program is validated before it runs: a fault names the instruction.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{PoisonError, RwLock};

use super::super::program::Program;
use super::super::Error;
use super::{Context, Row, Sampler};

/// A registered sampler. It lives as long as the process.
#[derive(Clone, Copy)]
pub struct Custom(&'static Row);

static REGISTERED: RwLock<Vec<Custom>> = RwLock::new(Vec::new());

impl Custom {
    /// Every one that was registered, in order.
    pub fn all() -> impl Iterator<Item = Sampler> {
        let all = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).clone();
        all.into_iter().map(Sampler::Custom)
    }

    pub(super) fn row(self) -> &'static Row {
        self.0
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.name.fmt(f)
    }
}

impl Sampler {
    /// Makes a sampler of a function that writes its program; from then on its name is
    /// known like the others. `steps` are those of a user who names none (0: all of training).
    ///
    /// # Errors
    /// A name that is taken or empty.
    pub fn register(
        name: &str,
        about: &str,
        steps: usize,
        program: impl Fn(&Context<'_>) -> Result<Program, Error> + Send + Sync + 'static,
    ) -> Result<Sampler, Error> {
        let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
        let mut names = Self::all().chain(registered.iter().map(|c| Sampler::Custom(*c))).map(Sampler::name);
        if name.is_empty() || names.any(|taken| taken == name) {
            return Err(Error::option(
                "name",
                name,
                "a sampler of this name is there already; choose another",
            ));
        }
        let leak = |text: &str| -> &'static str { String::leak(text.to_string()) };
        let row = Row {
            name: leak(name),
            class: "",
            steps,
            about: leak(about),
            source: "",
            program: Box::leak(Box::new(move |context: &Context<'_>, _: Sampler| program(context))),
        };
        let custom = Custom(Box::leak(Box::new(row)));
        registered.push(custom);
        Ok(Sampler::Custom(custom))
    }
}
