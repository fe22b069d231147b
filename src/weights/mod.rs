//! Floor 0: checkpoint formats. One trait, [`Weights`], yields named tensors,
//! checked; every format is one file here.
//!
//! | format | file |
//! | --- | --- |
//! | a folder as diffusers saves it | [`diffusers`] |
//! | safetensors, mapped into memory, one file or many | [`safetensors`], [`sharded`] |
//! | numbers made from a parameter's name (tests, benchmarks) | [`deterministic`] |
//!
//! To add a format: `src/weights/x.rs` that implements [`Weights`], one line here.

pub mod bytes;
pub mod derived;
pub mod deterministic;
pub mod diffusers;
mod error;
mod fingerprint;
pub mod json;
pub mod names;
mod param;
pub mod safetensors;
pub mod sharded;
pub mod torch;

pub use bytes::Bytes;
pub use deterministic::Deterministic;
pub use diffusers::DiffusersFolder;
pub use error::WeightsError;
pub use fingerprint::{Fingerprint, Stored};
pub use json::Json;
pub use param::{Dtype, Param};
pub use safetensors::Safetensors;
pub use sharded::Sharded;
pub use torch::{Flags, TorchFile};

use std::sync::{Mutex, PoisonError};

/// Named tensors, from whatever they are stored in.
pub trait Weights: Send + Sync {
    /// The tensor `name`, which must have `shape`. Nothing is converted yet: see [`Param::to_f32`].
    ///
    /// # Errors
    /// [`WeightsError::Missing`] with the nearest names there are, [`WeightsError::Shape`]
    /// with both shapes, [`WeightsError::Dtype`] for numbers that are not f32, f16 or bf16.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError>;

    /// Whether there is a tensor `name`, of whatever shape.
    fn contains(&self, name: &str) -> bool;

    /// All names, sorted. Empty for a source that makes any tensor it is asked for.
    fn names(&self) -> Vec<String>;

    /// The tensor `name` as it is stored, of whatever type and shape; `None` where there
    /// is none, or where it is not stored but made.
    fn stored(&self, name: &str) -> Option<Stored<'_>>;
}

/// Passes every request on and remembers it: which tensors a model asks for.
pub struct Recorder<'a> {
    weights: &'a dyn Weights,
    asked: Mutex<Vec<(String, Vec<usize>)>>,
}

impl<'a> Recorder<'a> {
    /// A recorder in front of `weights`.
    pub fn new(weights: &'a dyn Weights) -> Self {
        Self { weights, asked: Mutex::new(Vec::new()) }
    }

    /// What was asked for so far: names and shapes in the order of the requests.
    pub fn asked(&self) -> Vec<(String, Vec<usize>)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names in the source that nobody asked for, sorted.
    pub fn unused(&self) -> Vec<String> {
        let asked = self.asked();
        let mut names = self.weights.names();
        names.retain(|n| !asked.iter().any(|(a, _)| a == n));
        names
    }
}

impl Weights for Recorder<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError> {
        let param = self.weights.get(name, shape)?;
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push((name.to_owned(), shape.to_vec()));
        Ok(param)
    }

    fn contains(&self, name: &str) -> bool {
        self.weights.contains(name)
    }

    fn names(&self) -> Vec<String> {
        self.weights.names()
    }

    fn stored(&self, name: &str) -> Option<Stored<'_>> {
        self.weights.stored(name)
    }
}
