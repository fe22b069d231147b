//! The report: one page of HTML that needs nothing else, and the same numbers as a table.

use super::chart::{chart, escaped, Axis, Mark, COLOURS};
use super::{Left, Point};
use crate::evaluate::speech::estimate;
use crate::text::{table, Side};
use serde_json::Value;
use std::fmt::Write;
use undiffuse::metrics::Estimate;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;\
color:#222;background:#fff}h1{font-size:1.6em}h2{font-size:1.2em;margin-top:2em}table{border-collapse:collapse;\
font-size:13px}th,td{padding:.25em .6em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}.wide{overflow-x:auto}.charts{display:grid;\
grid-template-columns:repeat(auto-fit,minmax(330px,1fr));gap:1em}svg{width:100%;height:auto}.grid{stroke:#e5e5e5}\
.tick{font-size:11px;fill:#555}.axis{font-size:12px;fill:#222}.number{font-size:11px}.front{fill:none;stroke:#999;\
stroke-dasharray:4 3}.sheets{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:1em}\
figure{margin:0}figure img{width:100%;image-rendering:pixelated}figcaption,code{font-size:12px}code{word-break:\
break-all}.best{font-weight:600}";

/// The page needs nothing else, and a browser holds it to that.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// The numbers of a row, by name.
fn columns(p: &Point) -> Vec<(&'static str, Option<Estimate>, usize)> {
    let (e, c) = (&p.evaluation, p.evaluation.compared.as_ref());
    vec![
        ("frechet", Some(e.frechet), 3),
        ("kernel", c.map(|c| c.kernel), 5),
        ("precision", c.map(|c| c.precision), 3),
        ("recall", c.map(|c| c.recall), 3),
        ("density", c.map(|c| c.density), 3),
        ("coverage", c.map(|c| c.coverage), 3),
        ("modes_kl", e.modes.as_ref().map(|m| m.kl), 4),
        ("sure", e.modes.as_ref().map(|m| m.sure), 3),
        ("seconds_per_100", p.speed.as_ref().map(|s| s.seconds_per_100), 2),
        ("joules_per_image", p.speed.as_ref().and_then(|s| s.joules_per_image), 2),
    ]
}

fn nfe(p: &Point) -> String {
    p.speed.as_ref().map_or(String::new(), |s| s.nfe.to_string())
}

/// All points, a line each.
pub fn csv(points: &[Point]) -> String {
    let mut text = String::from("number,model,sampler,steps,nfe,pareto");
    for (name, ..) in points.first().map(columns).unwrap_or_default() {
        let _ = write!(text, ",{name},{name}_error");
    }
    text += ",command\n";
    let quoted = |t: &str| format!("\"{}\"", t.replace('"', "\"\""));
    for (i, p) in points.iter().enumerate() {
        let _ =
            write!(text, "{},{},{},{},{},{}", i + 1, quoted(&p.model), p.sampler, p.steps, nfe(p), p.pareto);
        for (_, value, _) in columns(p) {
            let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
            let _ =
                write!(text, ",{},{}", number(value.map(|v| v.value)), number(value.and_then(|v| v.error)));
        }
        let _ = writeln!(text, ",{}", quoted(&p.command));
    }
    text
}

/// All points for a terminal.
pub fn text(points: &[Point]) -> String {
    let head = [
        ("#", Side::Right),
        ("model", Side::Left),
        ("sampler", Side::Left),
        ("steps", Side::Right),
        ("nfe", Side::Right),
        ("frechet", Side::Right),
        ("recall", Side::Right),
        ("coverage", Side::Right),
        ("s/100", Side::Right),
        ("front", Side::Left),
    ];
    let rows = points.iter().enumerate().map(|(i, p)| {
        let of = columns(p);
        let cell = |name: &str| {
            let found = of.iter().find(|(n, ..)| *n == name);
            found.and_then(|(_, v, digits)| v.map(|v| estimate(&v, *digits))).unwrap_or("-".into())
        };
        vec![
            (i + 1).to_string(),
            p.model.clone(),
            p.sampler.into(),
            p.steps.to_string(),
            nfe(p),
            cell("frechet"),
            cell("recall"),
            cell("coverage"),
            cell("seconds_per_100"),
            if p.pareto { "*".into() } else { String::new() },
        ]
    });
    table(&head, &rows.collect::<Vec<_>>())
}

/// The page.
pub fn html(points: &[Point], left: &[Left], about: &Value) -> Result<String, serde_json::Error> {
    let word = |key: &str| escaped(about[key].as_str().unwrap_or_default());
    let models = names(points);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>The trilemma: quality, coverage, speed</title><style>{STYLE}\
         </style></head><body>\n<h1>Quality, coverage and speed</h1>\n<p>{} points of {} images each, against {} \
         by the features of {}, on {}. Quality is the Frechet distance in these features{}. Bars are intervals of \
         95 %: of quality and coverage over the images, by subsampling, the reference taken as it is; of speed over \
         the batches. Dashed lines join what nothing else beats in both axes.</p>\n<p>",
        points.len(),
        about["count"],
        word("reference"),
        word("features"),
        word("adapter"),
        if word("features").contains("FID") { "" } else { ", which is not FID" }
    );
    for (i, model) in models.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let _ = write!(page, "<span style=\"color:{colour}\">&#9679;</span> {} &nbsp; ", escaped(model));
    }
    page += "</p>\n<div class=\"charts\">\n";
    let speed = Axis { label: "seconds for 100 images", log: true, more: false };
    let quality = Axis { label: "Frechet distance", log: true, more: false };
    let cover = Axis { label: "coverage", log: false, more: true };
    let marks = |x: fn(&Point) -> Option<Estimate>, y: fn(&Point) -> Option<Estimate>| -> Vec<Mark> {
        let mark = |(i, p): (usize, &Point)| Mark {
            at: (x(p).map_or(f64::NAN, |e| e.value), y(p).map_or(f64::NAN, |e| e.value)),
            interval: (x(p).and_then(|e| e.interval), y(p).and_then(|e| e.interval)),
            group: models.iter().position(|m| *m == p.model).unwrap_or_default(),
            number: i + 1,
            title: p.name(),
        };
        points.iter().enumerate().map(mark).collect()
    };
    let seconds = |p: &Point| p.speed.as_ref().map(|s| s.seconds_per_100);
    let frechet = |p: &Point| Some(p.evaluation.frechet);
    let coverage = |p: &Point| p.evaluation.compared.as_ref().map(|c| c.coverage);
    page += &chart(&speed, &quality, &marks(seconds, frechet));
    page += &chart(&speed, &cover, &marks(seconds, coverage));
    page += &chart(&quality, &cover, &marks(frechet, coverage));
    page += "</div>\n<h2>All points</h2>\n<p>Bold: no other point is as good in all three and better in one.</p>\n\
             <div class=\"wide\"><table><tr><th>#</th><th>model</th><th>sampler</th><th>steps</th><th>NFE</th>";
    for (name, ..) in points.first().map(columns).unwrap_or_default() {
        let _ = write!(page, "<th>{}</th>", name.replace('_', " "));
    }
    page += "</tr>\n";
    for (i, p) in points.iter().enumerate() {
        let class = if p.pareto { " class=\"best\"" } else { "" };
        let _ = write!(
            page,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            i + 1,
            escaped(&p.model),
            p.sampler,
            if p.steps == 0 { "its own".into() } else { p.steps.to_string() },
            nfe(p)
        );
        for (_, value, digits) in columns(p) {
            let text = value.map_or("-".into(), |v| estimate(&v, digits));
            let _ = write!(page, "<td>{}</td>", text.replace("+-", "&plusmn;"));
        }
        page += "</tr>\n";
    }
    page += "</table></div>\n<h2>Samples</h2>\n<p>The first images of each point, unpicked.</p>\n<div class=\"sheets\">\n";
    for (i, p) in points.iter().enumerate() {
        let _ = writeln!(
            page,
            "<figure><img alt=\"samples\" src=\"data:image/png;base64,{}\"><figcaption>{}: {}</figcaption></figure>",
            base64(&p.sheet),
            i + 1,
            escaped(&p.name())
        );
    }
    page += "</div>\n<h2>Commands</h2>\n<ol>\n";
    for p in points {
        let _ = writeln!(page, "<li><code>{}</code></li>", escaped(&p.command));
    }
    page += "</ol>\n";
    if !left.is_empty() {
        page += "<h2>Left out</h2>\n<ul>\n";
        for l in left {
            let steps = l.steps.map_or(String::new(), |s| format!(", {s} steps"));
            let _ =
                writeln!(page, "<li>{}, {}{steps}: {}</li>", escaped(&l.model), l.sampler, escaped(&l.why));
        }
        page += "</ul>\n";
    }
    // The numbers, for whoever has the page alone; `</` would end the element.
    let data = serde_json::to_string(about)?.replace("</", "<\\/");
    let _ = writeln!(page, "<script type=\"application/json\" id=\"data\">{data}</script>\n</body></html>");
    Ok(page)
}

/// The models, in the order of their points.
fn names(points: &[Point]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for p in points {
        if !names.contains(&p.model.as_str()) {
            names.push(&p.model);
        }
    }
    names
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize] as char;
            text.push(if i <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_as_letters() {
        let all = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let found = all.map(|t| super::base64(t.as_bytes()));
        assert_eq!(found, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }
}
