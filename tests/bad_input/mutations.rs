//! Valid files with bytes changed: a typed error or success, never a panic, and
//! never more memory than the file justifies.

use crate::model_folder::{config, weights, Tensor};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use undiffuse::graph::Graph;
use undiffuse::models;
use undiffuse::weights::{Deterministic, Json, Safetensors, Weights};

/// Counts what a thread holds.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn add(bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `f` held at once, beyond those held before.
fn peak(f: impl FnOnce()) -> usize {
    let before = NOW.get();
    PEAK.set(before);
    f();
    (PEAK.get() - before).max(0) as usize
}

fn small_file() -> Vec<u8> {
    let tensor = |name: &str, shape: &[usize]| -> Tensor {
        (name.to_string(), shape.to_vec(), vec![0.5; shape.iter().product()])
    };
    weights(&[
        tensor("conv_in.weight", &[4, 3, 3, 3]),
        tensor("conv_in.bias", &[4]),
        tensor("mid_block.attentions.0.query.weight", &[4, 4]),
    ])
}

/// Opens, and reads every tensor in its stored shape.
fn read_all(bytes: Vec<u8>) {
    let Ok(file) = Safetensors::from_bytes("mutated", bytes) else { return };
    for name in file.names() {
        let shape = file.shape(&name).map(<[usize]>::to_vec).unwrap_or_default();
        if let Ok(param) = file.get(&name, &shape) {
            let _ = param.to_f32();
        }
        let _ = file.read(&name);
        let _ = file.get(&name, &[3]).map_err(|e| e.to_string());
    }
    let _ = file.get("conv_in.weigth", &[1]).map_err(|e| e.to_string());
}

#[derive(Clone, Debug)]
enum Change {
    Byte(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    /// A number of the header is replaced.
    Number(prop::sample::Index, u64),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(i, b)| Change::Byte(i, b)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(i, b)| Change::Insert(i, b)),
        4 => (at(), prop_oneof![
            any::<u64>(), 0u64..600, Just(u64::MAX), Just(1 << 32), Just(1 << 62), Just(u64::MAX / 4 + 1)
        ]).prop_map(|(i, n)| Change::Number(i, n)),
    ]
}

/// Applies the changes; numbers and bytes fall into the first `header` bytes mostly.
fn mutate(mut bytes: Vec<u8>, text: std::ops::Range<usize>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        match change {
            Change::Byte(i, b) => {
                let at = i.index(text.end.min(bytes.len()));
                bytes[at] = b;
            }
            Change::Cut(i) => bytes.truncate(i.index(bytes.len())),
            Change::Insert(i, new) => {
                let at = i.index(text.end.min(bytes.len()));
                bytes.splice(at..at, new);
            }
            Change::Number(i, n) => {
                let end = text.end.min(bytes.len());
                let starts: Vec<usize> = (text.start.min(end)..end)
                    .filter(|&p| bytes[p].is_ascii_digit() && (p == 0 || !bytes[p - 1].is_ascii_digit()))
                    .collect();
                if starts.is_empty() {
                    continue;
                }
                let from = starts[i.index(starts.len())];
                let digits = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
                bytes.splice(from..from + digits, n.to_string().into_bytes());
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
    #[test]
    fn changed_weights(changes in prop::collection::vec(change(), 1..4), mend in any::<bool>()) {
        let file = small_file();
        let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let length = file.len();
        let mut bytes = mutate(file, 8..header, changes);
        if mend && bytes.len() > 8 {
            // The header's length follows, so that what is in it is read at all.
            let size = (header + bytes.len()).saturating_sub(length).clamp(8, bytes.len()) - 8;
            bytes[..8].copy_from_slice(&(size as u64).to_le_bytes());
        }
        let size = bytes.len();
        let held = peak(|| read_all(bytes));
        prop_assert!(held <= 2 * size + (1 << 20), "{held} bytes for a file of {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]
    #[test]
    fn changed_configurations(changes in prop::collection::vec(change(), 1..4)) {
        let text = config().to_string().into_bytes();
        let end = text.len();
        let text = String::from_utf8_lossy(&mutate(text, 0..end, changes)).into_owned();
        let held = peak(|| {
            let json = Json::new("config.json", text);
            match models::open(&json, None) {
                // Names and shapes alone: no number is made.
                Ok(model) => drop(model.build(&Deterministic, &mut Graph::new())),
                Err(e) => drop(e.to_string()),
            }
        });
        prop_assert!(held <= 4 << 20, "{held} bytes for a configuration");
    }
}
