//! Checkpoints of PyTorch (`torch.save`), read without running any code: the zip form, and both
//! forms before it (pickles one after the other, then the storages; a tar).
//!
//! A pickle is read by a machine that knows the opcodes and globals that tensors and plain
//! values need, and refuses every other by name and place. Tensors stay in the
//! mapped file until they are asked for. Sizes are checked against the file's length first.
//!
//! [`TorchFile::open`] finds the state dictionary as the published checkpoints have it, and its
//! moving average (EMA) where that is stored.

mod archive;
mod flags;
mod machine;
mod sequence;
mod tar;
mod value;

use super::names::near;
use super::{Bytes, Dtype, Param, Stored, Weights, WeightsError};
use machine::Arena;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
pub use value::Number;
use value::{Node, Tensor, Value};

/// Dictionaries within dictionaries are followed no deeper.
const DEEPEST: usize = 8;

/// The tensors of a checkpoint, by name.
#[derive(Clone, Debug)]
pub struct TorchFile {
    origin: PathBuf,
    bytes: Bytes,
    entries: BTreeMap<String, Entry>,
    /// What was chosen of the file's parts. Nothing here is an error.
    notes: Vec<String>,
    flags: Option<Flags>,
}

/// Flags of a command line by their names: plain values.
pub type Flags = serde_json::Map<String, serde_json::Value>;

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    number: Number,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// The storage's bytes from the tensor's first number on.
    range: Range<usize>,
}

/// What a tensor's numbers are, without their order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The least; NaN of no numbers.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// Their mean.
    pub mean: f64,
}

impl TorchFile {
    /// Maps a checkpoint and reads what it says of its tensors; with `ema`, the moving average
    /// takes the place of the weights.
    ///
    /// # Errors
    /// [`WeightsError::Damaged`] and [`WeightsError::Unsupported`] with what is wrong and where.
    pub fn open(path: &Path, ema: bool) -> Result<Self, WeightsError> {
        Self::from_bytes(path, Bytes::open(path)?, ema)
    }

    /// A checkpoint in memory; `origin` is what errors call it.
    ///
    /// # Errors
    /// As [`TorchFile::open`].
    pub fn from_bytes(
        origin: impl Into<PathBuf>,
        bytes: impl Into<Bytes>,
        ema: bool,
    ) -> Result<Self, WeightsError> {
        let (origin, bytes) = (origin.into(), bytes.into());
        match found(bytes.as_slice(), ema) {
            Ok((entries, notes, flags)) => Ok(Self { origin, bytes, entries, notes, flags }),
            Err(what) => Err(WeightsError::Damaged { path: origin, what }),
        }
    }

    /// What was chosen of the file's parts.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The flags of the training that wrote it (`args`: LSGM, DDGAN's `content.pth`), where it has them:
    /// numbers, texts, truth values and lists.
    pub fn flags(&self) -> Option<&Flags> {
        self.flags.as_ref()
    }

    /// Type, shape and summary of a tensor.
    pub fn summary(&self, name: &str) -> Option<(Number, &[usize], Summary)> {
        let entry = self.entries.get(name)?;
        let mut tally = Tally::default();
        entry.each(self.bytes.as_slice(), |v| tally.add(v));
        Some((entry.number, &entry.shape, tally.summary()))
    }
}

impl Summary {
    /// Of numbers that lie one after the other, little-endian.
    pub fn of(number: Number, bytes: &[u8]) -> Summary {
        let mut tally = Tally::default();
        bytes.chunks_exact(number.size()).for_each(|b| tally.add(number.decode(b)));
        tally.summary()
    }
}

/// A summary while it is made.
#[derive(Default)]
struct Tally {
    ends: Option<(f64, f64)>,
    sum: f64,
    count: u64,
}

impl Tally {
    fn add(&mut self, v: f64) {
        let (min, max) = self.ends.unwrap_or((v, v));
        self.ends = Some((min.min(v), max.max(v)));
        self.sum += v;
        self.count += 1;
    }

    fn summary(&self) -> Summary {
        let (min, max) = self.ends.unwrap_or((f64::NAN, f64::NAN));
        Summary { min, max, mean: self.sum / self.count as f64 }
    }
}

impl Entry {
    fn count(&self) -> usize {
        self.shape.iter().product()
    }

    fn contiguous(&self) -> bool {
        let mut next = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(n, s)| {
            let fits = *n == 1 || *s == next;
            next *= n;
            fits
        })
    }

    /// Calls `f` with each number, row-major.
    fn each(&self, file: &[u8], mut f: impl FnMut(f64)) {
        let (size, bytes) = (self.number.size(), file.get(self.range.clone()).unwrap_or_default());
        let mut index = vec![0usize; self.shape.len()];
        for _ in 0..self.count() {
            let at: usize = index.iter().zip(&self.strides).map(|(i, s)| i * s).sum::<usize>() * size;
            f(self.number.decode(bytes.get(at..at + size).unwrap_or_default()));
            for (i, n) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *n {
                    break;
                }
                *i = 0;
            }
        }
    }
}

impl Weights for TorchFile {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError> {
        let origin = || self.origin.display().to_string();
        let Some(entry) = self.entries.get(name) else {
            let near = near(name, self.entries.keys().map(String::as_str));
            return Err(WeightsError::Missing { name: name.to_owned(), origin: origin(), near });
        };
        if entry.shape != shape {
            let (wanted, found) = (shape.to_vec(), entry.shape.clone());
            return Err(WeightsError::Shape { name: name.to_owned(), origin: origin(), wanted, found });
        }
        let dtype = match entry.number {
            Number::F32 => Some(Dtype::F32),
            Number::F16 => Some(Dtype::F16),
            Number::Bf16 => Some(Dtype::Bf16),
            _ => None,
        };
        if let (Some(dtype), true) = (dtype, entry.contiguous()) {
            let end = entry.range.start + entry.count() * dtype.size();
            return Param::stored(name, shape, dtype, self.bytes.clone(), entry.range.start..end);
        }
        let (bytes, entry) = (self.bytes.clone(), entry.clone());
        Ok(Param::lazy(name, shape, move || {
            let mut numbers = Vec::with_capacity(entry.count());
            entry.each(bytes.as_slice(), |v| numbers.push(v as f32));
            numbers
        }))
    }

    fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    fn stored(&self, name: &str) -> Option<Stored<'_>> {
        let entry = self.entries.get(name)?;
        let dtype = match entry.contiguous() {
            true => entry.number.name(),
            false => format!("{} {:?}", entry.number.name(), entry.strides),
        };
        Some(Stored { dtype, shape: &entry.shape, bytes: self.bytes.as_slice().get(entry.range.clone())? })
    }
}

/// The tensors of a file, and what was chosen of its parts.
type Chosen = (BTreeMap<String, Entry>, Vec<String>);

/// A file as any of the forms has it: its value, and where the storages' bytes are by their keys.
struct Parts<'p> {
    arena: Arena<'p>,
    value: Value,
    places: HashMap<String, Range<usize>>,
}

/// Tensors by name, notes, and what a training state says of its model.
type Found = (BTreeMap<String, Entry>, Vec<String>, Option<Flags>);

/// What is found in a file.
fn found(bytes: &[u8], ema: bool) -> Result<Found, String> {
    let parts = match bytes.starts_with(b"PK\x03\x04") {
        true => archive::read(bytes)?,
        false if tar::is_tar(bytes) => tar::read(bytes)?,
        false => sequence::read(bytes)?,
    };
    let place = |key: &str| parts.places.get(key).cloned();
    let (entries, notes) = choose(&parts.arena, parts.value, &place, ema)?;
    Ok((entries, notes, flags::read(&parts.arena, parts.value)))
}

/// Where a storage's bytes are.
type Place<'a> = &'a dyn Fn(&str) -> Option<Range<usize>>;

/// Parts of a checkpoint that are state dictionaries, where their EMA is, and the prefix of
/// their tensors.
const PARTS: [(&str, &str, &str); 5] = [
    // score_sde and CLD-SGM
    ("model", "ema", ""),
    // LSGM
    ("dae_state_dict", "dae_optimizer", "dae."),
    ("vae_state_dict", "", "vae."),
    ("state_dict", "", ""),
    // DDGAN's state of a training; what it publishes is an average already
    ("netG_dict", "optimizerG", ""),
];

/// Finds the state dictionaries in a checkpoint.
fn choose(arena: &Arena<'_>, root: Value, place: Place<'_>, ema: bool) -> Result<Chosen, String> {
    let (mut entries, mut notes, mut averaged) = (BTreeMap::new(), Vec::new(), false);
    for (part, average, prefix) in PARTS {
        let Some(state) = arena.get(root, part).filter(|v| arena.pairs(*v).is_some()) else { continue };
        let mut tensors = flat(arena, state)?;
        if let (true, Some(average)) = (ema, arena.get(root, average)) {
            replace(arena, &mut tensors, average)?;
            averaged = true;
            notes.push(format!("`{part}` with its moving average"));
        } else {
            notes.push(format!("`{part}`"));
        }
        for (name, tensor) in unprefixed(tensors) {
            entries.insert(format!("{prefix}{name}"), locate(&tensor, place)?);
        }
    }
    if entries.is_empty() {
        for (name, tensor) in unprefixed(flat(arena, root)?) {
            entries.insert(name, locate(&tensor, place)?);
        }
    }
    if entries.is_empty() {
        return Err("no tensors are in it".into());
    }
    if ema && !averaged {
        return Err(
            "it holds no moving average: read it without (DDGAN's and LSGM's best are averages already)"
                .into(),
        );
    }
    Ok((entries, notes))
}

/// All tensors below a value, with the keys that lead to them joined by dots, in order.
fn flat(arena: &Arena<'_>, v: Value) -> Result<Vec<(String, Tensor)>, String> {
    // A dictionary that is reached by many ways is looked at as often.
    let mut left = 4096 + 16 * arena.nodes.len();
    let mut found = Vec::new();
    below(arena, v, "", 0, &mut left, &mut found)?;
    Ok(found)
}

fn below(
    arena: &Arena<'_>,
    v: Value,
    path: &str,
    depth: usize,
    left: &mut usize,
    found: &mut Vec<(String, Tensor)>,
) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("`{path}`: nested deeper than {DEEPEST}, or within itself"));
    }
    for (key, value) in arena.pairs(v).unwrap_or_default() {
        *left = left.checked_sub(1).ok_or("dictionaries that are shared over and over")?;
        let Some(key) = arena.str(*key) else { continue };
        let name = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match arena.node(*value) {
            Some(Node::Tensor(tensor)) => found.push((name, (**tensor).clone())),
            Some(Node::Dict(_)) => below(arena, *value, &name, depth + 1, left, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// Without `module.`, which parallel training puts before every name.
fn unprefixed(tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    match tensors.iter().all(|(name, _)| name.starts_with("module.")) {
        true => tensors.into_iter().map(|(name, t)| (name["module.".len()..].to_owned(), t)).collect(),
        false => tensors,
    }
}

/// Whether a tensor of a state dictionary is no parameter that training moves: buffers, and the
/// frozen frequencies of a Fourier embedding (a vector; `W` of a linear map is a matrix).
fn is_frozen(name: &str, tensor: &Tensor) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "sigmas" | "running_mean" | "running_var" | "num_batches_tracked")
        || last == "W" && tensor.shape.len() == 1
}

/// Puts the moving average in the place of the weights: a list over the parameters in their order
/// (`shadow_params`), or the optimiser's `state[i]['ema']`.
fn replace(arena: &Arena<'_>, tensors: &mut [(String, Tensor)], average: Value) -> Result<(), String> {
    let tensor = |v: Value| match arena.node(v) {
        Some(Node::Tensor(t)) => Some((**t).clone()),
        _ => None,
    };
    let shadows: Vec<Tensor> = match arena.get(average, "shadow_params") {
        Some(list) => arena.items(list).unwrap_or_default().iter().filter_map(|v| tensor(*v)).collect(),
        None => {
            let state = arena.get(average, "state").ok_or("a moving average of an unknown form")?;
            let mut indexed: Vec<(i64, Tensor)> = Vec::new();
            for (key, value) in arena.pairs(state).unwrap_or_default() {
                if let (Value::Int(i), Some(t)) = (key, arena.get(*value, "ema").and_then(tensor)) {
                    indexed.push((*i, t));
                }
            }
            indexed.sort_by_key(|(i, _)| *i);
            indexed.into_iter().map(|(_, t)| t).collect()
        }
    };
    if shadows.is_empty() {
        return Err("its optimiser keeps no moving average: read it without".into());
    }
    let moved: Vec<usize> =
        (0..tensors.len()).filter(|i| !is_frozen(&tensors[*i].0, &tensors[*i].1)).collect();
    if shadows.len() != moved.len() {
        return Err(format!("a moving average of {} tensors for {} parameters", shadows.len(), moved.len()));
    }
    for (i, shadow) in moved.into_iter().zip(shadows) {
        let (name, own) = &mut tensors[i];
        if own.shape != shadow.shape {
            return Err(format!(
                "the moving average of `{name}` has shape {:?}, not {:?}",
                shadow.shape, own.shape
            ));
        }
        *own = shadow;
    }
    Ok(())
}

/// Where a tensor's numbers are in the file.
fn locate(tensor: &Tensor, place: Place<'_>) -> Result<Entry, String> {
    let storage = &tensor.storage;
    let (key, size) = (&storage.key, storage.number.size());
    let whole = place(key).ok_or_else(|| format!("storage `{key}` is not there"))?;
    let end = storage.first.checked_add(storage.count).and_then(|n| n.checked_mul(size));
    if end.is_none_or(|end| end > whole.len()) {
        return Err(format!(
            "storage `{key}` should hold {} numbers of {size} bytes and has {} bytes",
            storage.count,
            whole.len()
        ));
    }
    let start = whole.start + (storage.first + tensor.offset) * size;
    let last: usize = tensor.shape.iter().zip(&tensor.strides).map(|(n, s)| n.saturating_sub(1) * s).sum();
    let count: usize = tensor.shape.iter().product();
    let range = if count == 0 { whole.start..whole.start } else { start..start + (last + 1) * size };
    let (shape, strides) = (tensor.shape.clone(), tensor.strides.clone());
    Ok(Entry { number: storage.number, shape, strides, range })
}
