//! The form of `torch.save` before 0.1.10: a tar of three files. `storages` has a pickle of key,
//! device and type before the numbers of each, and the views of storages at its end; `tensors` a
//! pickle of key, storage and type before the geometry of each; `pickle` is the value, in which
//! tensors and storages are their keys.

use super::value::{Known, Node, Storage, Value};
use super::{machine, sequence, Parts};
use std::collections::HashMap;
use std::ops::Range;

/// A tar is blocks of so many bytes.
const BLOCK: usize = 512;
/// A tensor has no more dimensions.
const MOST_DIMENSIONS: usize = 32;

/// Whether this is a tar.
pub(super) fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(257..262) == Some(b"ustar")
}

pub(super) fn read(bytes: &[u8]) -> Result<Parts<'_>, String> {
    let files = files(bytes)?;
    let file = |name: &str| {
        let range = files.get(name).ok_or_else(|| format!("a tar without `{name}`: not of torch.save"))?;
        Ok::<_, String>((bytes.get(..range.end).unwrap_or_default(), range.start))
    };
    let (mut named, mut places) = (HashMap::new(), HashMap::new());
    let (text, start) = file("storages")?;
    storages(text, start, &mut named, &mut places).map_err(|e| format!("`storages` in the tar: {e}"))?;
    let (text, start) = file("tensors")?;
    tensors(text, start, &mut named).map_err(|e| format!("`tensors` in the tar: {e}"))?;
    let (text, start) = file("pickle")?;
    let read = machine::read_with(text, start, bytes.len(), named)?;
    Ok(Parts { arena: read.arena, value: read.value, places })
}

/// The plain files of a tar, by name.
fn files(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, String> {
    let (mut at, mut found) = (0, HashMap::new());
    while let Some(head) = bytes.get(at..at + BLOCK).filter(|head| head.iter().any(|b| *b != 0)) {
        let octal = |field: Range<usize>| {
            let digits = std::str::from_utf8(&head[field]).unwrap_or_default();
            usize::from_str_radix(digits.trim_matches([' ', '\0']), 8).ok()
        };
        // The sum of all bytes, those of the sum itself being spaces.
        let sum = |(i, b): (usize, &u8)| if (148..156).contains(&i) { 32 } else { usize::from(*b) };
        if octal(148..156) != Some(head.iter().enumerate().map(sum).sum()) {
            return Err(format!("the tar is damaged at {at}"));
        }
        let name: Vec<u8> = head[..100].iter().copied().take_while(|b| *b != 0).collect();
        let name = String::from_utf8(name).map_err(|_| "a name in the tar is no UTF-8".to_string())?;
        let start = at + BLOCK;
        let end = octal(124..136).and_then(|len| start.checked_add(len)).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(|| format!("`{}` in the tar reaches past its end", name.escape_debug()))?;
        at = end.next_multiple_of(BLOCK);
        // Of what else there may be (folders, links, a name's other form) nothing is wanted.
        if matches!(head[156], 0 | b'0') {
            let name = name.trim_start_matches("./").to_owned();
            if found.insert(name.clone(), start..end).is_some() {
                return Err(format!("`{}` is in the tar twice", name.escape_debug()));
            }
        }
    }
    Ok(found)
}

/// The key of a tensor or a storage, which was its address.
fn key(v: Option<&Value>) -> Result<String, String> {
    match v {
        Some(Value::Int(key)) => Ok(key.to_string()),
        _ => Err("a key that is no number".into()),
    }
}

fn whole(v: Option<&Value>) -> Result<usize, String> {
    match v {
        Some(Value::Int(n)) => usize::try_from(*n).map_err(|_| format!("a count of {n}")),
        _ => Err("a count that is no number".into()),
    }
}

fn insert(named: &mut HashMap<String, Node>, key: String, node: Node) -> Result<(), String> {
    match named.insert(key.clone(), node) {
        None => Ok(()),
        Some(_) => Err(format!("`{key}` is there twice")),
    }
}

fn storages(
    text: &[u8],
    start: usize,
    named: &mut HashMap<String, Node>,
    places: &mut HashMap<String, Range<usize>>,
) -> Result<(), String> {
    let count = machine::read(text, start, text.len())?;
    let mut at = count.end;
    for _ in 0..whole(Some(&count.value))? {
        let about = machine::read(text, at, text.len())?;
        let Some(&[id, _, Value::Known(Known::Storage(number))]) = about.arena.items(about.value) else {
            return Err(format!("no key, device and type at {at}"));
        };
        let key = key(Some(&id))?;
        let range = sequence::counted(text, about.end, number.size(), &key)?;
        at = range.end;
        let count = range.len() / number.size();
        let storage = Storage { number, key: key.clone(), count, first: 0 };
        insert(named, key.clone(), Node::Storage(Box::new(storage)))?;
        places.insert(key, range);
    }
    let views = machine::read(text, at, text.len())?;
    for view in views.arena.items(views.value).ok_or("views that are no list")? {
        let parts = views.arena.items(*view).unwrap_or_default();
        let (id, root) = (key(parts.first())?, key(parts.get(1))?);
        let (first, count) = (whole(parts.get(2))?, whole(parts.get(3))?);
        let Some(Node::Storage(of)) = named.get(&root) else {
            return Err(format!("a view of the storage `{root}`, which is not there"));
        };
        // What it may reach is seen when a tensor of it is.
        let view = Storage { first, count, ..Storage::clone(of) };
        insert(named, id, Node::Storage(Box::new(view)))?;
    }
    Ok(())
}

fn tensors(text: &[u8], start: usize, named: &mut HashMap<String, Node>) -> Result<(), String> {
    let count = machine::read(text, start, text.len())?;
    let mut at = count.end;
    for _ in 0..whole(Some(&count.value))? {
        let about = machine::read(text, at, text.len())?;
        let ids = about.arena.items(about.value).unwrap_or_default();
        let (id, storage) = (key(ids.first())?, key(ids.get(1))?);
        at = about.end;
        let mut word = || {
            let bytes = text.get(at..at.saturating_add(8)).ok_or("a tensor's geometry is cut off")?;
            at += 8;
            Ok::<_, String>(bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)))
        };
        // Four bytes count the dimensions, four more are of no use.
        let dimensions = word()? as u32 as usize;
        if dimensions > MOST_DIMENSIONS {
            return Err(format!("a tensor of {dimensions} dimensions"));
        }
        let mut words = |n: usize| {
            let size = |v: u64| usize::try_from(v).map_err(|_| format!("a size of {v}"));
            (0..n).map(|_| word().and_then(size)).collect::<Result<Vec<_>, _>>()
        };
        let (shape, strides, offset) = (words(dimensions)?, words(dimensions)?, words(1)?[0]);
        let Some(Node::Storage(storage)) = named.get(&storage) else {
            return Err(format!("a tensor of the storage `{storage}`, which is not there"));
        };
        let tensor = Storage::clone(storage).tensor(offset, shape, strides)?;
        insert(named, id, Node::Tensor(Box::new(tensor)))?;
    }
    Ok(())
}
