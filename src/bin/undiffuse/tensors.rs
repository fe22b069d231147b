//! `undiffuse inspect FILE --tensors`: what a checkpoint holds.

use crate::text::{table, Side};
use crate::Failure;
use std::path::Path;
use undiffuse::weights::torch::{Number, Summary};
use undiffuse::weights::{Safetensors, TorchFile, Weights};

/// A tensor, as it would be loaded.
#[derive(serde::Serialize)]
struct Row {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    min: f64,
    max: f64,
    mean: f64,
}

pub fn run(path: &Path, ema: bool, json: bool) -> Result<(), Failure> {
    let safetensors = path.extension().is_some_and(|e| e == "safetensors");
    if safetensors && ema {
        return Err("a safetensors file holds no moving average: leave --ema out".into());
    }
    let (rows, notes) = if safetensors { of_safetensors(path)? } else { of_torch(path, ema)? };
    let numbers: usize = rows.iter().map(|r| r.shape.iter().product::<usize>()).sum();
    if json {
        let file = path.display().to_string();
        let all = serde_json::json!({ "file": file, "ema": ema, "notes": notes, "numbers": numbers, "tensors": rows });
        say!(stdout, "{all}");
        return Ok(());
    }
    let head = [
        ("tensor", Side::Left),
        ("type", Side::Left),
        ("shape", Side::Left),
        ("min", Side::Right),
        ("max", Side::Right),
        ("mean", Side::Right),
    ];
    let text = |r: &Row| {
        let number = |v: f64| format!("{v:.6}");
        let shape = r.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        vec![r.name.clone(), r.dtype.clone(), shape, number(r.min), number(r.max), number(r.mean)]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(text).collect();
    say!(stdout, "{}", table(&head, &rows).trim_end());
    for note in notes {
        say!(stdout, "note: {note}");
    }
    say!(stdout, "{} tensors, {numbers} numbers", rows.len());
    Ok(())
}

/// The tensors, and what is to be said of them.
type Listed = (Vec<Row>, Vec<String>);

fn of_torch(path: &Path, ema: bool) -> Result<Listed, Failure> {
    let file = TorchFile::open(path, ema)?;
    let row = |name: String| {
        let (number, shape, s) = file.summary(&name)?;
        let (dtype, shape) = (number.name(), shape.to_vec());
        Some(Row { name, dtype, shape, min: s.min, max: s.max, mean: s.mean })
    };
    Ok((file.names().into_iter().filter_map(row).collect(), file.notes().to_vec()))
}

fn of_safetensors(path: &Path) -> Result<Listed, Failure> {
    let file = Safetensors::open(path)?;
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for name in file.names() {
        let Some(stored) = file.stored(&name) else { continue };
        let Some(number) = Number::of_name(&stored.dtype) else {
            notes.push(format!("{name} is {}, which is not read", stored.dtype));
            continue;
        };
        let s = Summary::of(number, stored.bytes);
        let shape = stored.shape.to_vec();
        rows.push(Row { name, dtype: stored.dtype, shape, min: s.min, max: s.max, mean: s.mean });
    }
    Ok((rows, notes))
}
