//! The form of `torch.save` before the zip (0.1.10 to 1.5): pickles one after the other (a magic
//! number, a version, the writer's system, the value, the storages' keys), then the storages.

use super::value::{Node, Value};
use super::{machine, Parts};
use std::collections::HashMap;
use std::ops::Range;

/// How it begins: a pickle of `0x1950a86a20f9469cfc6c`.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

pub(super) fn read(bytes: &[u8]) -> Result<Parts<'_>, String> {
    let magic = machine::read(bytes, 0, bytes.len())
        .map_err(|e| format!("neither a zip nor a pickle of torch.save: {e}"))?;
    if magic.arena.node(magic.value) != Some(&Node::Bytes(MAGIC.to_vec())) {
        return Err("a pickle that torch.save did not write".into());
    }
    let version = machine::read(bytes, magic.end, bytes.len())?;
    if version.value != Value::Int(1001) {
        return Err(format!("its protocol is {:?}, and 1001 is supported", version.value));
    }
    let system = machine::read(bytes, version.end, bytes.len())?;
    if system.arena.get(system.value, "little_endian") == Some(Value::Bool(false)) {
        return Err("its numbers are in big-endian order".into());
    }
    let read = machine::read(bytes, system.end, bytes.len())?;
    let keys = machine::read(bytes, read.end, bytes.len())?;
    let sizes: HashMap<&str, usize> = read
        .arena
        .nodes
        .iter()
        .filter_map(|n| match n {
            Node::Storage(s) => Some((s.key.as_str(), s.number.size())),
            _ => None,
        })
        .collect();
    let (mut at, mut places) = (keys.end, HashMap::new());
    for key in keys.arena.items(keys.value).ok_or("storages that are no list")? {
        let key = keys.arena.str(*key).ok_or("a storage without a key")?;
        let size = sizes.get(key).ok_or_else(|| format!("no tensor uses storage `{key}`"))?;
        let range = counted(bytes, at, *size, key)?;
        at = range.end;
        if places.insert(key.to_owned(), range).is_some() {
            return Err(format!("storage `{key}` is there twice"));
        }
    }
    Ok(Parts { arena: read.arena, value: read.value, places })
}

/// Where the numbers are of a storage that begins at `at` with their count.
pub(super) fn counted(bytes: &[u8], at: usize, size: usize, key: &str) -> Result<Range<usize>, String> {
    let cut = || format!("storage `{key}` reaches past the end of the file");
    let count = bytes.get(at..at.saturating_add(8)).ok_or_else(cut)?;
    let count = usize::try_from(count.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)));
    let len = count.ok().and_then(|n| n.checked_mul(size)).ok_or_else(cut)?;
    let end = (at + 8).checked_add(len).filter(|end| *end <= bytes.len()).ok_or_else(cut)?;
    Ok(at + 8..end)
}
