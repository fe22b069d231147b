//! `undiffuse merge`: what parts of a job wrote, joined to what one process would have written.

use crate::arrays::Arrays;
use crate::output::npz::{self, Array, Values};
use crate::output::try_file;
use crate::sets::{self, Given, Kept, Set, NETWORK};
use crate::Failure;
use serde_json::json;
use std::path::PathBuf;
use undiffuse::metrics::Moments;

#[derive(clap::Args)]
pub struct Args {
    /// Files of one kind: of pictures (`sample --shard --out`), of features or of statistics
    /// (`undiffuse features`)
    #[arg(required = true, value_name = "FILE.npz")]
    files: Vec<PathBuf>,
    /// The file of all
    #[arg(long, value_name = "FILE.npz")]
    out: PathBuf,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.out.extension().is_none_or(|e| e != "npz") {
        return Err(format!("--out {}: name an .npz file", args.out.display()).into());
    }
    try_file(&args.out)?;
    let mut sets = Vec::new();
    let mut features = Vec::new();
    let mut moments: Option<Moments> = None;
    for path in &args.files {
        match sets::read(path)? {
            Given::Pictures(set) => sets.push((path, set)),
            Given::Features(kept) => features.push((path, kept)),
            Given::Statistics { counted: false, .. } => {
                let path = path.display();
                return Err(
                    format!("{path}: no `count` says of how many pictures these statistics are").into()
                );
            }
            Given::Statistics { moments: part, .. } => {
                moments = Some(match moments {
                    None => part,
                    Some(all) => all.merge(&part)?,
                });
            }
        }
    }
    let kinds = [!sets.is_empty(), !features.is_empty(), moments.is_some()];
    if kinds.iter().filter(|k| **k).count() > 1 {
        return Err("the files are not of one kind: pictures, features or statistics".into());
    }
    let (what, count) = match moments {
        Some(all) => ("statistics", write_statistics(&args.out, &all)?),
        None if !sets.is_empty() => ("pictures", pictures(args, sets)?),
        None => ("features", join_features(args, features)?),
    };
    say!("{}: {what} of {count} pictures from {} files", args.out.display(), args.files.len());
    if args.json {
        let all = json!({ "kind": what, "pictures": count, "files": args.files.len(),
            "out": args.out.display().to_string() });
        say!(stdout, "{all}");
    }
    Ok(())
}

/// Writes mean and covariance as the common tools read them, and of how many pictures.
pub fn write_statistics(path: &std::path::Path, all: &Moments) -> Result<u64, Failure> {
    let d = all.mean().len() as u64;
    let sigma = all.covariance();
    let arrays = [
        Array { name: "mu", shape: vec![d], values: Values::F64(all.mean()) },
        Array { name: "sigma", shape: vec![d, d], values: Values::F64(sigma.values()) },
        Array { name: "count", shape: vec![], values: Values::U64(&[all.count()]) },
    ];
    npz::save(path, &arrays, None)?;
    Ok(all.count())
}

/// Writes features, and whose they are.
pub fn write_features(path: &std::path::Path, kept: &Kept) -> Result<u64, Failure> {
    let features = &kept.seen.features;
    let (n, d) = (features.len() as u64, features.width() as u64);
    let classes = kept.seen.logits.len() as u64 / n.max(1);
    let mut arrays = vec![
        Array { name: "features", shape: vec![n, d], values: Values::F32(features.values()) },
        Array { name: "index", shape: vec![n], values: Values::U64(&kept.index) },
    ];
    if classes > 0 {
        arrays.push(Array {
            name: "logits",
            shape: vec![n, classes],
            values: Values::F32(&kept.seen.logits),
        });
    }
    npz::save(path, &arrays, Some((NETWORK, &serde_json::to_vec(&kept.network)?)))?;
    Ok(n)
}

/// In the order of the pictures' indices, none of which comes twice.
fn ordered(indices: Vec<(usize, &[u64])>) -> Result<Vec<(usize, usize)>, Failure> {
    let mut all: Vec<(u64, usize, usize)> = Vec::new();
    for (file, own) in indices {
        all.extend(own.iter().enumerate().map(|(at, index)| (*index, file, at)));
    }
    all.sort_unstable();
    if let Some(pair) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("image {} is in two of the files", pair[0].0).into());
    }
    Ok(all.into_iter().map(|(_, file, at)| (file, at)).collect())
}

fn pictures(args: &Args, sets: Vec<(&PathBuf, Set)>) -> Result<u64, Failure> {
    let shape = sets[0].1.shape;
    if let Some((path, _)) = sets.iter().find(|(_, set)| set.shape != shape) {
        return Err(format!("{} has pictures of another size", path.display()).into());
    }
    let order = ordered(sets.iter().enumerate().map(|(i, (_, set))| (i, &set.index[..])).collect())?;
    let (mut levels, mut labels, mut index) = (Vec::new(), Vec::new(), Vec::new());
    for &(file, at) in &order {
        let set = &sets[file].1;
        levels.extend_from_slice(&set.levels[at * shape.len()..(at + 1) * shape.len()]);
        labels.push(set.labels.as_ref().map_or(-1, |l| l[at]));
        index.push(set.index[at]);
    }
    let n = order.len() as u64;
    let sides = [n, shape.h as u64, shape.w as u64, shape.c as u64];
    // What the sampler ended with is kept where all files have it.
    let mut floats = Vec::new();
    for (path, _) in &sets {
        let found = Arrays::open(path)?.get("images")?.map(|f| f.values);
        match found {
            Some(crate::arrays::Numbers::F32(values)) => floats.push(values),
            _ => break,
        }
    }
    let numbers: Vec<f32> = match floats.len() == sets.len() {
        true => order
            .iter()
            .flat_map(|(file, at)| &floats[*file][at * shape.len()..(at + 1) * shape.len()])
            .copied()
            .collect(),
        false => Vec::new(),
    };
    let images = if numbers.is_empty() { Values::U8(&levels) } else { Values::F32(&numbers) };
    let arrays = [
        Array { name: "images", shape: sides.to_vec(), values: images },
        Array { name: "labels", shape: vec![n], values: Values::I64(&labels) },
        Array { name: "index", shape: vec![n], values: Values::U64(&index) },
    ];
    npz::save(&args.out, &arrays, None)?;
    Ok(n)
}

fn join_features(args: &Args, parts: Vec<(&PathBuf, Kept)>) -> Result<u64, Failure> {
    let first = &parts[0].1;
    let (network, width) = (first.network.clone(), first.seen.features.width());
    let classes = |k: &Kept| k.seen.logits.len() / k.seen.features.len().max(1);
    let count = classes(first);
    if let Some((path, _)) = parts.iter().find(|(_, part)| {
        part.network != network || part.seen.features.width() != width || classes(part) != count
    }) {
        return Err(format!("{} has features of another network", path.display()).into());
    }
    let order = ordered(parts.iter().enumerate().map(|(i, (_, part))| (i, &part.index[..])).collect())?;
    let (mut values, mut logits, mut index) = (Vec::new(), Vec::new(), Vec::new());
    for (file, at) in order {
        let part = &parts[file].1;
        values.extend_from_slice(part.seen.features.row(at));
        logits.extend_from_slice(&part.seen.logits[at * count..(at + 1) * count]);
        index.push(part.index[at]);
    }
    let features = undiffuse::metrics::Features::new("the files", width, values)?;
    let seen = undiffuse::pipeline::Seen { features, logits };
    write_features(&args.out, &Kept { seen, index, network })
}
