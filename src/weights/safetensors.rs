//! One safetensors file: a header of JSON, then the tensors' bytes.
//!
//! The `safetensors` crate checks that the tensors lie one after the other without
//! gap or overlap, that each is as long as its shape says, and that they end where
//! the file ends. Here the lengths that it would only call wrong are named.

use super::names::{near, new_attention_name, old_attention_name};
use super::{Bytes, Dtype, Param, Stored, Weights, WeightsError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a header ends at the latest; real ones have some hundred bytes a tensor.
const HEADER_LIMIT: u64 = 64 << 20;

/// The tensors of one safetensors file.
#[derive(Clone, Debug)]
pub struct Safetensors {
    origin: PathBuf,
    bytes: Bytes,
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    shape: Vec<usize>,
    dtype: safetensors::Dtype,
    start: usize,
    end: usize,
}

impl Safetensors {
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// [`WeightsError::Io`], [`WeightsError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        Self::from_bytes(path, Bytes::open(path)?)
    }

    /// The tensors in `bytes`; `origin` is what errors call them.
    ///
    /// # Errors
    /// [`WeightsError::Damaged`] that says what is wrong with the header.
    pub fn from_bytes(origin: impl Into<PathBuf>, bytes: impl Into<Bytes>) -> Result<Self, WeightsError> {
        let (origin, bytes) = (origin.into(), bytes.into());
        match read_header(bytes.as_slice()) {
            Ok(entries) => Ok(Self { origin, bytes, entries }),
            Err(what) => Err(WeightsError::Damaged { path: origin, what }),
        }
    }

    /// What errors call this file.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The stored shape of a tensor, by today's or by its old name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entry(name).map(|e| e.shape.as_slice())
    }

    /// The numbers of a tensor of whatever shape, for reading goldens: integers and f64 are converted too.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Dtype`].
    pub fn read(&self, name: &str) -> Result<(Vec<usize>, Vec<f64>), WeightsError> {
        let entry = self.entry(name).ok_or_else(|| self.missing(name))?;
        let bytes = self.bytes.as_slice().get(entry.start..entry.end).unwrap_or_default();
        let numbers = match entry.dtype {
            safetensors::Dtype::I64 => {
                bytes.chunks_exact(8).map(|b| i64::from_le_bytes(array(b)) as f64).collect()
            }
            safetensors::Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(array(b))).collect(),
            safetensors::Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(array(b)))).collect()
            }
            _ => return Err(self.dtype(name, entry.dtype)),
        };
        Ok((entry.shape.clone(), numbers))
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).or_else(|| self.entries.get(&old_attention_name(name)?))
    }

    fn missing(&self, name: &str) -> WeightsError {
        WeightsError::Missing {
            name: name.to_owned(),
            origin: self.origin.display().to_string(),
            near: near(name, self.entries.keys().map(String::as_str)),
        }
    }

    fn dtype(&self, name: &str, found: safetensors::Dtype) -> WeightsError {
        let (name, origin) = (name.to_owned(), self.origin.display().to_string());
        WeightsError::Dtype { name, origin, found: format!("{found:?}") }
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or_default())
}

fn read_header(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, String> {
    let total = bytes.len() as u64;
    let Some(head) = bytes.get(..8) else {
        return Err(format!("{total} bytes, not even the eight of a header's length"));
    };
    let header = u64::from_le_bytes(array(head));
    if header > HEADER_LIMIT {
        return Err(format!("a header of {header} bytes (at most {HEADER_LIMIT}): not a safetensors file?"));
    }
    if 8 + header > total {
        return Err(format!("truncated: a header of {header} bytes in a file of {total}"));
    }
    let start = 8 + header as usize;
    let text = bytes.get(8..start).unwrap_or_default();
    let ends = last_offset(text)?;
    let need = (start as u64).checked_add(ends).ok_or("an offset past the end of all files")?;
    if need != total {
        let word = if need > total { "truncated" } else { "bytes beyond the last tensor" };
        return Err(format!("{word}: the header needs {need} bytes, the file has {total}"));
    }
    let (_, meta) = safetensors::SafeTensors::read_metadata(bytes)
        .map_err(|e| format!("the header is not what it should be (tensors overlap or leave gaps?): {e}"))?;
    let mut entries = BTreeMap::new();
    for (name, info) in meta.tensors() {
        let (from, to) = info.data_offsets;
        let (Some(from), Some(to)) = (start.checked_add(from), start.checked_add(to)) else {
            return Err(format!("tensor `{name}` lies past the end of the file"));
        };
        let entry = Entry { shape: info.shape.clone(), dtype: info.dtype, start: from, end: to };
        entries.insert(name, entry);
    }
    Ok(entries)
}

/// The largest offset that the header names, where each tensor is as long as its shape says.
fn last_offset(text: &[u8]) -> Result<u64, String> {
    #[derive(serde::Deserialize)]
    struct Info {
        dtype: Option<String>,
        shape: Option<Vec<u64>>,
        data_offsets: Option<(u64, u64)>,
    }
    let map: BTreeMap<String, Info> =
        serde_json::from_slice(text).map_err(|e| format!("the header is not what it should be: {e}"))?;
    let mut last = 0;
    for (name, info) in &map {
        // `__metadata__` has none of these; what lacks one of them is refused with the rest.
        let (Some(dtype), Some(shape), Some((start, end))) = (&info.dtype, &info.shape, info.data_offsets)
        else {
            continue;
        };
        let size = match dtype.as_str() {
            "F64" | "I64" | "U64" => 8,
            "F32" | "I32" | "U32" => 4,
            "F16" | "BF16" | "I16" | "U16" => 2,
            "I8" | "U8" | "BOOL" => 1,
            _ => continue,
        };
        let needs = shape.iter().try_fold(size, |a: u64, &b| a.checked_mul(b));
        if needs.is_none() || end.checked_sub(start) != needs {
            let needs = needs.map_or("more than can be counted".to_owned(), |n| n.to_string());
            return Err(format!(
                "tensor `{name}`: shape {shape:?} of {dtype} needs {needs} bytes, its offsets are {start} to {end}"
            ));
        }
        last = last.max(end);
    }
    Ok(last)
}

impl Weights for Safetensors {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError> {
        let entry = self.entry(name).ok_or_else(|| self.missing(name))?;
        if entry.shape != shape {
            return Err(WeightsError::Shape {
                name: name.to_owned(),
                origin: self.origin.display().to_string(),
                wanted: shape.to_vec(),
                found: entry.shape.clone(),
            });
        }
        let dtype = match entry.dtype {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            other => return Err(self.dtype(name, other)),
        };
        Param::stored(name, shape, dtype, self.bytes.clone(), entry.start..entry.end)
    }

    fn contains(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.entries.keys().map(|n| new_attention_name(n)).collect();
        names.sort();
        names
    }

    fn stored(&self, name: &str) -> Option<Stored<'_>> {
        let entry = self.entry(name)?;
        let bytes = self.bytes.as_slice().get(entry.start..entry.end)?;
        Some(Stored { dtype: format!("{:?}", entry.dtype), shape: &entry.shape, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn error(bytes: Vec<u8>) -> String {
        let text = Safetensors::from_bytes("m.safetensors", bytes).unwrap_err().to_string();
        assert!(text.starts_with("m.safetensors: damaged: "), "{text}");
        text
    }

    const ONE: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

    #[test]
    fn damaged_files_say_what_is_wrong() {
        assert!(error(vec![1, 2, 3]).contains("3 bytes"));
        assert!(error(u64::MAX.to_le_bytes().to_vec()).contains("at most"));
        assert!(error(1000u64.to_le_bytes().to_vec()).contains("header of 1000 bytes in a file of 8"));
        assert!(error(file("{]", 0)).contains("line 1"));
        assert!(error(file(ONE, 7)).contains("truncated"));
        assert!(error(file(ONE, 9)).contains("beyond the last tensor"));
        for (bad, data) in [
            // overlap, gap, backwards, wrong length, shape overflow, unknown type, offset overflow
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                12,
            ),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 0),
            (r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
            (r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,8]}}"#, 8),
            (r#"{"a":{"dtype":"Q9","shape":[2],"data_offsets":[0,8]}}"#, 8),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}"#, 8),
            (r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8),
            (r#"{"a":7}"#, 0),
        ] {
            error(file(bad, data));
        }
    }

    #[test]
    fn lookups_fail_with_names_shapes_and_types() {
        let header = r#"{"conv.weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"n":{"dtype":"I64","shape":[1],"data_offsets":[8,16]}}"#;
        let st = Safetensors::from_bytes("m", file(header, 16)).unwrap();
        assert_eq!(st.get("conv.weight", &[2]).unwrap().to_f32().unwrap(), [0.0, 0.0]);
        let missing = st.get("conv.weigth", &[2]).unwrap_err().to_string();
        assert!(missing.contains("`conv.weigth`") && missing.contains("`conv.weight`"), "{missing}");
        let shape = st.get("conv.weight", &[3]).unwrap_err().to_string();
        assert!(shape.contains("[2]") && shape.contains("[3]"), "{shape}");
        let dtype = st.get("n", &[1]).unwrap_err().to_string();
        assert!(dtype.contains("I64") && dtype.contains("`n`"), "{dtype}");
        assert!(!st.contains("x") && st.names() == ["conv.weight", "n"]);
        assert_eq!(st.read("n").unwrap(), (vec![1], vec![0.0]));
    }

    #[test]
    fn old_attention_names_are_found_under_the_new() {
        let header =
            r#"{"mid_block.attentions.0.query.bias":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}"#;
        let st = Safetensors::from_bytes("m", file(header, 4)).unwrap();
        assert!(st.get("mid_block.attentions.0.to_q.bias", &[2]).is_ok());
        assert_eq!(st.names(), ["mid_block.attentions.0.to_q.bias"]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_file(mut bytes in proptest::collection::vec(0u8..=255, 0..80)) {
            if bytes.len() > 8 {
                let n = (bytes.len() - 8) as u64;
                bytes[..8].copy_from_slice(&n.to_le_bytes());
            }
            let _ = Safetensors::from_bytes("m", bytes);
        }

        #[test]
        fn one_changed_byte_never_panics(at in 0usize..70, byte in 0u8..=255) {
            let mut bytes = file(ONE, 8);
            if let Some(b) = bytes.get_mut(at) { *b = byte; }
            if let Ok(st) = Safetensors::from_bytes("m", bytes) {
                for name in st.names() { let _ = st.get(&name, &[2]).map(|p| p.to_f32()); }
            }
        }
    }
}
