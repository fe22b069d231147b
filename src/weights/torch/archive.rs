//! The zip form of `torch.save`: entries that are stored, not compressed, found by the central
//! directory. Everything is checked against the file's length before it is used.

use super::{machine, Parts};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// More entries than this are no checkpoint.
const MOST_ENTRIES: u64 = 1 << 20;

/// Where each entry's bytes are, by its name without the archive's own folder.
#[derive(Debug)]
struct Archive {
    entries: BTreeMap<String, Range<usize>>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Parts<'_>, String> {
    let archive = Archive::open(bytes)?;
    if let Some(order) = archive.entries.get("byteorder").and_then(|r| bytes.get(r.clone())) {
        if order != b"little" {
            return Err("its numbers are in big-endian order".into());
        }
    }
    let pickle = archive.entries.get("data.pkl").ok_or("a zip without data.pkl: not of torch.save")?;
    let read = machine::read(bytes.get(..pickle.end).unwrap_or_default(), pickle.start, bytes.len())?;
    let place = |(name, range): (String, Range<usize>)| Some((name.strip_prefix("data/")?.to_owned(), range));
    let places: HashMap<_, _> = archive.entries.into_iter().filter_map(place).collect();
    Ok(Parts { arena: read.arena, value: read.value, places })
}

/// A little-endian number at `at`.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(size)?)?;
    Some(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

impl Archive {
    fn open(bytes: &[u8]) -> Result<Archive, String> {
        let short = || "the zip's directory is cut off".to_string();
        let (mut count, mut size, mut start) = end_record(bytes)?;
        if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
            (count, size, start) = end_record_64(bytes)?;
        }
        if count > MOST_ENTRIES {
            return Err(format!("a zip of {count} entries is no checkpoint"));
        }
        let end = start.checked_add(size).filter(|end| *end <= bytes.len() as u64).ok_or_else(short)?;
        let (mut at, end) = (start as usize, end as usize);
        let mut named: Vec<(String, Range<usize>)> = Vec::new();
        for _ in 0..count {
            let field =
                |offset: usize, size: usize| number(&bytes[..end], at + offset, size).ok_or_else(short);
            if field(0, 4)? != 0x0201_4b50 {
                return Err("the zip's directory is damaged".into());
            }
            let (flags, method) = (field(8, 2)?, field(10, 2)?);
            let (mut packed, mut plain, mut local) = (field(20, 4)?, field(24, 4)?, field(42, 4)?);
            let (name_len, extra_len, comment_len) =
                (field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize);
            let name = bytes[..end].get(at + 46..at + 46 + name_len).ok_or_else(short)?;
            let name = std::str::from_utf8(name).map_err(|_| "a name in the zip is no UTF-8".to_string())?;
            let extra =
                bytes[..end].get(at + 46 + name_len..at + 46 + name_len + extra_len).ok_or_else(short)?;
            wide(extra, [&mut plain, &mut packed, &mut local])?;
            check_name(name)?;
            if flags & 1 != 0 {
                return Err(format!("`{name}` in the zip is encrypted"));
            }
            if method != 0 || packed != plain {
                return Err(format!(
                    "`{name}` in the zip is compressed ({packed} bytes for {plain}): torch.save never does that"
                ));
            }
            // The local header has lengths of its own before the bytes.
            let local = usize::try_from(local).map_err(|_| short())?;
            let head = |offset: usize, size: usize| number(bytes, local.checked_add(offset)?, size);
            if head(0, 4) != Some(0x0403_4b50) {
                return Err(format!("`{name}` in the zip is not where the directory says"));
            }
            let skip = 30 + head(26, 2).ok_or_else(short)? as usize + head(28, 2).ok_or_else(short)? as usize;
            let from = local.checked_add(skip).ok_or_else(short)?;
            let to = usize::try_from(plain).ok().and_then(|n| from.checked_add(n));
            let to = to
                .filter(|to| *to <= start as usize)
                .ok_or_else(|| format!("`{name}` in the zip claims {plain} bytes, more than the file has"))?;
            named.push((name.to_owned(), from..to));
            at += 46 + name_len + extra_len + comment_len;
        }
        overlaps(&named)?;
        // All names begin with one folder, which is the file's name when it was saved.
        let mut entries = BTreeMap::new();
        for (name, range) in named {
            let short = name.split_once('/').map_or(name.as_str(), |(_, rest)| rest).to_owned();
            if entries.insert(short, range).is_some() {
                return Err(format!("`{name}` is in the zip twice"));
            }
        }
        Ok(Archive { entries })
    }
}

/// The end of the central directory: entries, bytes, start.
fn end_record(bytes: &[u8]) -> Result<(u64, u64, u64), String> {
    let last = bytes.len().checked_sub(22).ok_or("too short for a zip")?;
    let first = last.saturating_sub(0xffff);
    let at = (first..=last).rev().find(|at| bytes[*at..].starts_with(b"PK\x05\x06"));
    let at = at.ok_or("a zip without a directory: the file is cut off")?;
    let field = |offset, size| number(bytes, at + offset, size).unwrap_or_default();
    Ok((field(10, 2), field(12, 4), field(16, 4)))
}

/// The same of a zip of more than 4 GiB.
fn end_record_64(bytes: &[u8]) -> Result<(u64, u64, u64), String> {
    let bad = || "a large zip without its second directory".to_string();
    let last = bytes.len().checked_sub(42).ok_or_else(bad)?;
    let locator =
        (last.saturating_sub(0xffff)..=last).rev().find(|at| bytes[*at..].starts_with(b"PK\x06\x07"));
    let at = number(bytes, locator.ok_or_else(bad)? + 8, 8).and_then(|at| usize::try_from(at).ok());
    let at =
        at.filter(|at| bytes.get(*at..).is_some_and(|b| b.starts_with(b"PK\x06\x06"))).ok_or_else(bad)?;
    let field = |offset: usize| number(bytes, at.checked_add(offset)?, 8);
    match (field(32), field(40), field(48)) {
        (Some(count), Some(size), Some(start)) => Ok((count, size, start)),
        _ => Err(bad()),
    }
}

/// Takes 64-bit sizes from the extra field where the short ones are full.
fn wide(extra: &[u8], fields: [&mut u64; 3]) -> Result<(), String> {
    let mut at = 0;
    while let (Some(tag), Some(len)) = (number(extra, at, 2), number(extra, at + 2, 2)) {
        if tag == 1 {
            let mut from = at + 4;
            for field in fields {
                if *field == 0xffff_ffff {
                    *field = number(extra, from, 8).ok_or("a size in the zip is missing")?;
                    from += 8;
                }
            }
            return Ok(());
        }
        at += 4 + len as usize;
    }
    Ok(())
}

/// No name leads out of the archive.
fn check_name(name: &str) -> Result<(), String> {
    let bad = name.starts_with('/') || name.contains(['\\', '\0', ':']) || name.split('/').any(|p| p == "..");
    match bad || name.is_empty() {
        true => Err(format!("`{}` in the zip is no name within it", name.escape_debug())),
        false => Ok(()),
    }
}

/// No two entries share bytes.
fn overlaps(named: &[(String, Range<usize>)]) -> Result<(), String> {
    let mut sorted: Vec<_> = named.iter().filter(|(_, r)| !r.is_empty()).collect();
    sorted.sort_by_key(|(_, r)| r.start);
    match sorted.windows(2).find(|pair| pair[0].1.end > pair[1].1.start) {
        Some(pair) => Err(format!("`{}` and `{}` in the zip overlap", pair[0].0, pair[1].0)),
        None => Ok(()),
    }
}
