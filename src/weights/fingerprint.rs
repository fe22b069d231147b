//! What tells one model from every other: a hash of all that decides its pictures.
//!
//! BLAKE3 (256 bits) over the network's configuration, the scheduler's, the labels
//! (names and the empty class), and each tensor by name: name, type, shape and bytes
//! as they are stored. JSON is taken as what it says, not as it is written (order of
//! keys, spaces), and tensors in the order of their names: the same model cut into
//! other files, or laid out in them otherwise, has the same hash. The same numbers
//! stored in another type have another.

use super::Weights;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A tensor as it lies in its file.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    /// The type of its numbers, in safetensors' words.
    pub dtype: String,
    /// Its sizes, the outermost first.
    pub shape: &'a [usize],
    /// Its numbers, row-major, little-endian.
    pub bytes: &'a [u8],
}

/// A model's hash, computed from the files when it is first asked for.
pub struct Fingerprint {
    texts: blake3::Hasher,
    weights: Arc<dyn Weights>,
    hash: OnceLock<String>,
}

impl Fingerprint {
    /// Of the two configurations, as JSON texts, what is known of labels, and the tensors.
    pub fn new(config: &str, scheduler: Option<&str>, labels: &Value, weights: Arc<dyn Weights>) -> Self {
        let mut texts = blake3::Hasher::new();
        texts.update(b"undiffuse model 1\0");
        for text in [config, scheduler.unwrap_or("null")] {
            match serde_json::from_str(text) {
                Ok(value) => json(&mut texts, &value),
                // Nobody opens such a model; its text stands for itself.
                Err(_) => field(&mut texts, b'x', text.as_bytes()),
            }
        }
        json(&mut texts, labels);
        Fingerprint { texts, weights, hash: OnceLock::new() }
    }

    /// The hash, 64 hexadecimal digits. The first call reads every tensor.
    pub fn hash(&self) -> &str {
        self.hash.get_or_init(|| {
            let mut hasher = self.texts.clone();
            for name in self.weights.names() {
                field(&mut hasher, b't', name.as_bytes());
                let Some(stored) = self.weights.stored(&name) else { continue };
                field(&mut hasher, b'd', stored.dtype.as_bytes());
                let shape: Vec<u8> = stored.shape.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
                field(&mut hasher, b's', &shape);
                field(&mut hasher, b'b', stored.bytes);
            }
            hasher.finalize().to_hex().to_string()
        })
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.hash.get().map_or("not asked for", String::as_str))
    }
}

/// A kind, a length, the bytes: no two lists of fields look alike.
fn field(hasher: &mut blake3::Hasher, kind: u8, bytes: &[u8]) {
    hasher.update(&[kind]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

fn json(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Array(items) => {
            field(hasher, b'[', &(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| json(hasher, item));
        }
        Value::Object(map) => {
            // Sorted here: whether the map is depends on how serde_json was built.
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            field(hasher, b'{', &(keys.len() as u64).to_le_bytes());
            for key in keys {
                field(hasher, b'k', key.as_bytes());
                json(hasher, &map[key]);
            }
        }
        Value::Number(n) if n.is_f64() => field(hasher, b'f', &n.as_f64().unwrap_or(0.0).to_le_bytes()),
        other => field(hasher, b'v', other.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Bytes, Deterministic, Safetensors};

    const HEADER: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]}}"#;
    const SWAPPED: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"b":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#;

    fn hash(config: &str, scheduler: Option<&str>, header: &str, data: &[u8]) -> String {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        let weights = Safetensors::from_bytes("m", Bytes::from(bytes)).unwrap();
        Fingerprint::new(config, scheduler, &Value::Null, Arc::new(weights)).hash().to_owned()
    }

    #[test]
    fn everything_that_decides_counts_and_nothing_else() {
        let base = hash(r#"{"a": 1, "b": [0.5]}"#, Some("{}"), HEADER, b"0123456789ab");
        assert!(base.len() == 64 && base.bytes().all(|b| b.is_ascii_hexdigit()), "{base}");
        assert_eq!(hash("{\"b\":[5e-1],\n\"a\":1}", Some("{}"), HEADER, b"0123456789ab"), base);
        assert_eq!(hash(r#"{"a": 1, "b": [0.5]}"#, Some("{}"), SWAPPED, b"89ab01234567"), base);
        let typed = HEADER.replace("F16", "BF16");
        let shaped = HEADER.replacen("[2]", "[2,1]", 1);
        for other in [
            hash(r#"{"a": 2, "b": [0.5]}"#, Some("{}"), HEADER, b"0123456789ab"),
            hash(r#"{"a": 1, "b": [[0.5]]}"#, Some("{}"), HEADER, b"0123456789ab"),
            hash(r#"{"a": 1, "b": [0.5]}"#, None, HEADER, b"0123456789ab"),
            hash(r#"{"a": 1, "b": [0.5]}"#, Some("{}"), HEADER, b"0123456789aB"),
            hash(r#"{"a": 1, "b": [0.5]}"#, Some("{}"), &typed, b"0123456789ab"),
            hash(r#"{"a": 1, "b": [0.5]}"#, Some("{}"), &shaped, b"0123456789ab"),
        ] {
            assert_ne!(other, base);
        }
    }

    #[test]
    fn labels_count_and_made_weights_have_none() {
        let of = |labels| Fingerprint::new("{", None, &labels, Arc::new(Deterministic)).hash().to_owned();
        assert_eq!(of(serde_json::json!(1)), of(serde_json::json!(1)));
        assert_ne!(of(serde_json::json!({ "null_class": 1 })), of(serde_json::json!({ "null_class": 2 })));
    }
}
