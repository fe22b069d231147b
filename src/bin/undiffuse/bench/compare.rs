//! `undiffuse bench --compare A.json B.json`: ratios, the worst first.

use super::{Found, Table};
use crate::text::{seconds, Side};
use crate::Failure;
use serde_json::{json, Map, Value};
use std::path::Path;

/// A file of numbers is not longer.
const MOST_BYTES: u64 = 64 << 20;

/// Something that both files measured.
struct Pair {
    name: String,
    a: f64,
    b: f64,
    /// The kernels, where they are not the same.
    note: String,
}

pub fn run(a: &Path, b: &Path) -> Result<Found, Failure> {
    let (first, second) = (read(a)?, read(b)?);
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or("?").to_string();
    let mut pairs = Vec::new();
    let (mut only_a, mut only_b) = (0, 0);
    let many = first.len() > 1 || second.len() > 1;
    let mut matched = 0;
    for x in &first {
        // With one object in each file, adapters may differ: that is often the question.
        let same = |y: &&Value| {
            !many || (text(y, "adapter"), text(y, "backend")) == (text(x, "adapter"), text(x, "backend"))
        };
        let Some(y) = second.iter().find(same) else { continue };
        matched += 1;
        check(x, y, a, b)?;
        let before = pairs.len();
        let (rows_a, rows_b) = (rows(x, a)?, rows(y, b)?);
        for (name, s, kernel) in &rows_a {
            let Some((_, t, other)) = rows_b.iter().find(|r| r.0 == *name) else { continue };
            let note = if kernel == other { String::new() } else { format!("{kernel} -> {other}") };
            let name = if many { format!("{}: {name}", text(x, "adapter")) } else { name.clone() };
            pairs.push(Pair { name, a: *s, b: *t, note });
        }
        only_a += rows_a.len() - (pairs.len() - before);
        only_b += rows_b.len() - (pairs.len() - before);
        if let (Some(s), Some(t)) = (x["median_seconds"].as_f64(), y["median_seconds"].as_f64()) {
            let whole = if many { format!("{}: the whole", text(x, "adapter")) } else { "the whole".into() };
            pairs.push(Pair { name: whole, a: s, b: t, note: String::new() });
        }
    }
    if matched == 0 {
        return Err(format!("{} and {} have no adapter in common", a.display(), b.display()).into());
    }
    if only_a + only_b > 0 {
        say!("note: {only_a} rows are in the first file alone, {only_b} in the second");
    }
    // What took no time that a clock sees has no ratio.
    pairs.retain(|p| p.a > 0.0 && p.b > 0.0);
    pairs.sort_by(|p, q| (q.b / q.a).total_cmp(&(p.b / p.a)));
    Ok(found(a, b, &pairs))
}

fn found(a: &Path, b: &Path, pairs: &[Pair]) -> Found {
    use Side::{Left, Right};
    let rows = pairs.iter().map(
        |p| json!({ "name": p.name, "a_seconds": p.a, "b_seconds": p.b, "ratio": p.b / p.a, "note": p.note }),
    );
    let mut json = Map::new();
    json.insert("bench".into(), "compare".into());
    json.insert("a".into(), a.display().to_string().into());
    json.insert("b".into(), b.display().to_string().into());
    json.insert("rows".into(), rows.collect::<Vec<_>>().into());
    let ratios: Vec<f64> = pairs.iter().map(|p| p.b / p.a).collect();
    let summary = match ratios.is_empty() {
        true => "nothing that both files measured took time".to_string(),
        false => format!(
            "B to A over {} rows: median {:.3}, worst {:.3}, best {:.3}",
            ratios.len(),
            undiffuse::engine::tune::median(&ratios),
            ratios[0],
            ratios[ratios.len() - 1]
        ),
    };
    let cells = |p: &Pair| {
        vec![format!("{:.3}", p.b / p.a), seconds(p.a), seconds(p.b), p.name.clone(), p.note.clone()]
    };
    let table = Table {
        title: format!("A is {}, B is {}", a.display(), b.display()),
        head: vec![("B / A", Right), ("A", Right), ("B", Right), ("what", Left), ("kernel", Left)],
        rows: pairs.iter().map(cells).collect(),
    };
    Found { json, summary, tables: vec![table] }
}

/// Whether the two measured the same thing; warns where something else differs.
fn check(x: &Value, y: &Value, a: &Path, b: &Path) -> Result<(), Failure> {
    let shown = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
    let refuse = |what: &str, was: &Value, is: &Value| {
        let (was, is) = (shown(was), shown(is));
        format!("{} and {} are not of the same {what}: {was} and {is}", a.display(), b.display())
    };
    if x["bench"] != y["bench"] {
        return Err(refuse("benchmark", &x["bench"], &y["bench"]).into());
    }
    if x["network"] != y["network"] {
        return Err(refuse("model", &x["model"], &y["model"]).into());
    }
    for key in ["batch", "adapter", "backend", "driver", "sampler", "steps", "optimised"] {
        if x[key] != y[key] {
            say!("warning: {key} was {}, is {}", shown(&x[key]), shown(&y[key]));
        }
    }
    for (v, path) in [(x, a), (y, b)] {
        if v["noisy"] == Value::Bool(true) {
            say!("warning: {} was measured on a noisy machine", path.display());
        }
    }
    Ok(())
}

/// The objects of a file.
fn read(path: &Path) -> Result<Vec<Value>, Failure> {
    use std::io::Read;
    let name = path.display();
    let file = std::fs::File::open(path).map_err(|e| format!("{name}: {e}"))?;
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|e| format!("{name}: {e}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| format!("{name}: not JSON: {e}"))?;
    let objects = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let ours = |v: &Value| v["bench"].is_string() && v["rows"].is_array() && v["bench"] != "compare";
    match !objects.is_empty() && objects.iter().all(ours) {
        true => Ok(objects),
        false => Err(format!("{name}: not what `undiffuse bench ... --json FILE` writes").into()),
    }
}

/// (name, seconds, kernel) of each row; rows of one name are numbered.
fn rows(v: &Value, path: &Path) -> Result<Vec<(String, f64, String)>, Failure> {
    let mut seen = std::collections::HashMap::<String, usize>::new();
    let mut rows = Vec::new();
    for r in v["rows"].as_array().into_iter().flatten() {
        let (Some(name), Some(seconds)) = (r["name"].as_str(), r["seconds"].as_f64()) else {
            return Err(format!("{}: a row without a name or seconds", path.display()).into());
        };
        let count = seen.entry(name.to_string()).or_default();
        *count += 1;
        let name = if *count > 1 { format!("{name} #{count}") } else { name.to_string() };
        rows.push((name, seconds, r["kernel"].as_str().unwrap_or_default().to_string()));
    }
    Ok(rows)
}
