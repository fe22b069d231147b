//! The flags of the training that wrote a checkpoint: `args`, plain values of a Namespace.

use super::machine::Arena;
use super::value::Value;
use serde_json::{Map, Number};

/// Values that are taken, and bytes of text in them: a command line, not a file of data.
const MOST: (usize, usize) = (4096, 1 << 16);

/// Lists within lists are followed no deeper.
const DEEPEST: usize = 4;

/// `args` of a checkpoint, as far as it is numbers, texts, truth values and lists of them; what else
/// is in it is left out.
pub(super) fn read(arena: &Arena<'_>, root: Value) -> Option<Map<String, serde_json::Value>> {
    let args = arena.get(root, "args")?;
    let mut left = MOST;
    let mut flags = Map::new();
    for (key, value) in arena.pairs(args)? {
        let Some(key) = arena.str(*key) else { continue };
        if let Some(value) = plain(arena, *value, 0, &mut left) {
            flags.insert(text(key, &mut left)?, value);
        }
    }
    Some(flags)
}

fn text(s: &str, left: &mut (usize, usize)) -> Option<String> {
    left.1 = left.1.checked_sub(s.len())?;
    Some(s.to_owned())
}

fn plain(
    arena: &Arena<'_>,
    value: Value,
    depth: usize,
    left: &mut (usize, usize),
) -> Option<serde_json::Value> {
    left.0 = left.0.checked_sub(1)?;
    Some(match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(b) => b.into(),
        Value::Int(i) => i.into(),
        Value::Float(f) => Number::from_f64(f)?.into(),
        Value::Known(_) => return None,
        Value::At(_) => match (arena.str(value), arena.items(value)) {
            (Some(s), _) => text(s, left)?.into(),
            (None, Some(items)) if depth < DEEPEST => {
                let items = items.iter().map(|v| plain(arena, *v, depth + 1, left));
                items.collect::<Option<Vec<_>>>()?.into()
            }
            _ => return None,
        },
    })
}
