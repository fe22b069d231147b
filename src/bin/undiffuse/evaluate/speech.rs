//! An evaluation in words.

use super::Speed;
use crate::text::{table, Side};
use std::fmt::Write;
use undiffuse::metrics::Estimate;
use undiffuse::pipeline::Evaluation;

/// Classes that a reader looks at one by one.
const MOST_CLASSES: usize = 100;

/// Everything that a feature network tells.
pub fn text(head: &str, reference: &str, found: &Evaluation) -> String {
    let mut text =
        format!("{head}\nagainst {reference}, by the {} features of {}\n", found.width, found.features);
    let mut line = |name: &str, value: &Estimate, digits: usize, beside: String| {
        let _ = writeln!(text, "  {name:<17} {}{beside}", estimate(value, digits));
    };
    line("frechet distance", &found.frechet, 4, format!("   ({}, not FID)", found.features));
    if let Some(c) = &found.compared {
        let s = &c.kernel_subsets;
        let beside = format!("   ({} subsets of {}, std over them {:.6})", s.subsets, s.subset_size, s.std);
        line("kernel distance", &c.kernel, 6, beside);
        let beside = format!("   (k = {})", c.k);
        line("precision", &c.precision, 4, beside.clone());
        line("recall", &c.recall, 4, beside.clone());
        line("density", &c.density, 4, beside.clone());
        line("coverage", &c.coverage, 4, beside);
    }
    if let Some(m) = &found.modes {
        line("sure above 0.8", &m.sure, 4, String::new());
        let against = match m.against {
            "even" => "an even spread",
            _ => "the reference's",
        };
        line(
            "modes, KL",
            &m.kl,
            5,
            format!("   nats from {against}; {} of {} classes hit", m.hit, m.classes.len()),
        );
        let head = [
            ("class", Side::Left),
            ("share", Side::Right),
            ("reference", Side::Right),
            ("recall", Side::Right),
        ];
        let percent = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.1} %", 100.0 * v));
        let rows = m.classes.iter().map(|c| {
            vec![c.name.clone(), percent(Some(c.share.value)), percent(c.reference), percent(c.recall)]
        });
        // A thousand of them are for --json.
        if m.classes.len() <= MOST_CLASSES {
            text += &table(&head, &rows.collect::<Vec<_>>());
        }
    }
    if found.subsets > 0 {
        let _ = writeln!(
            text,
            "  +- is a standard error over the pictures, by {} subsets without replacement; the reference is \
             taken as it is",
            found.subsets
        );
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// How fast it was.
pub fn speed(speed: Option<&Speed>) -> String {
    let Some(s) = speed else { return String::new() };
    let mut text = format!(
        "  speed             {} s for 100 images, {:.3} images/s, {} evaluations each, on {}\n",
        estimate(&s.seconds_per_100, 2),
        s.images_per_second,
        s.nfe,
        s.adapter
    );
    text += &match &s.joules_per_image {
        Some(j) => format!("  energy            {} J an image, of the whole machine\n", estimate(j, 2)),
        None => "  energy            not told by this system\n".into(),
    };
    text
}

/// How likely the reference is.
pub fn likelihood(bits: &Estimate, pictures: usize) -> String {
    format!("  likelihood        {} bits/dim of {pictures} pictures of the reference\n", estimate(bits, 4))
}

/// `1.25 +- 0.03`.
pub fn estimate(e: &Estimate, digits: usize) -> String {
    match e.error {
        Some(error) => format!("{:.digits$} +- {error:.digits$}", e.value),
        None => format!("{:.digits$}", e.value),
    }
}
