//! Numbers and tables for a person.

use undiffuse::pipeline::Adaptive;

/// `2.8 M`: three digits and a thousand's letter.
pub fn count(n: u64) -> String {
    scaled(n as f64, &["", " k", " M", " G", " T"])
}

/// Bytes in decimal units: `11.2 MB`.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, &[" B", " kB", " MB", " GB", " TB"])
}

/// Seconds: `1.25 ms`.
pub fn seconds(s: f64) -> String {
    if s >= 1.0 {
        return format!("{} s", digits(s));
    }
    let units = [" us", " ms"];
    let (value, unit) = if s < 1e-3 { (s * 1e6, units[0]) } else { (s * 1e3, units[1]) };
    format!("{}{unit}", digits(value))
}

/// A part of a whole in per cent.
pub fn percent(part: f64, whole: f64) -> String {
    match whole > 0.0 {
        true => format!("{:.1} %", 100.0 * part / whole),
        false => "-".into(),
    }
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut at = 0;
    while value >= 999.5 && at + 1 < units.len() {
        value /= 1000.0;
        at += 1;
    }
    format!("{}{}", if at == 0 { format!("{value}") } else { digits(value) }, units[at])
}

/// Three digits.
fn digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Which way a column leans.
#[derive(Clone, Copy)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows in aligned columns, two spaces between them, under a head.
pub fn table(head: &[(&str, Side)], rows: &[Vec<String>]) -> String {
    let long = |t: &str| t.chars().count();
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(i, (name, _))| {
            rows.iter().map(|r| r.get(i).map_or(0, |c| long(c))).fold(long(name), usize::max)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let mut text = String::from(" ");
        for ((cell, (_, side)), width) in cells.iter().zip(head).zip(&widths) {
            let space = " ".repeat(width - long(cell).min(*width));
            match side {
                Side::Left => text += &format!(" {cell}{space} "),
                Side::Right => text += &format!(" {space}{cell} "),
            }
        }
        text.trim_end().to_string() + "\n"
    };
    let mut text = line(head.iter().map(|h| h.0).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// What an adaptive sampler did, in a clause.
pub fn adaptive(did: &Adaptive) -> String {
    let range = |list: &mut dyn Iterator<Item = u64>| {
        let (low, high) = list.fold((u64::MAX, 0), |(low, high), n| (low.min(n), high.max(n)));
        if low >= high {
            high.to_string()
        } else {
            format!("{low} to {high}")
        }
    };
    let accepted = range(&mut did.accepted.iter().map(|n| u64::from(*n)));
    let rejected = range(&mut did.rejected.iter().map(|n| u64::from(*n)));
    let nfe = range(&mut did.nfe.iter().copied());
    let all = did.nfe.iter().sum::<u64>() + did.nfe_wasted;
    let wasted = 100.0 * did.nfe_wasted as f64 / all.max(1) as f64;
    format!(
        "rtol {}, atol {}, {accepted} steps accepted and {rejected} rejected, {nfe} network evaluations \
         each, {wasted:.1} % more for images that were done",
        did.rtol, did.atol
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(
            [count(7), count(999), count(2_812_345), count(999_999)],
            ["7", "999", "2.81 M", "1.00 M"]
        );
        assert_eq!([bytes(32), bytes(1024), bytes(134_217_728)], ["32 B", "1.02 kB", "134 MB"]);
        assert_eq!([seconds(2.5e-6), seconds(0.0123), seconds(12.0)], ["2.50 us", "12.3 ms", "12.0 s"]);
        assert_eq!([percent(1.0, 3.0), percent(1.0, 0.0)], ["33.3 %", "-"]);
    }

    #[test]
    fn columns_align() {
        let rows = [vec!["a".to_string(), "100".to_string()], vec!["long".to_string(), "1".to_string()]];
        let text = table(&[("op", Side::Left), ("n", Side::Right)], &rows);
        assert_eq!(text, "  op      n\n  a     100\n  long    1\n");
    }
}
