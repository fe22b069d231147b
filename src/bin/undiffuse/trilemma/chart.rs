//! Two of quality, coverage and speed against each other, as SVG in a page.

use std::fmt::Write;

/// A point of a chart.
pub struct Mark {
    /// Its place, in the axes' numbers.
    pub at: (f64, f64),
    /// Its intervals, where there are any.
    pub interval: (Option<[f64; 2]>, Option<[f64; 2]>),
    /// Which model it is of.
    pub group: usize,
    /// Its number in the table.
    pub number: usize,
    /// What it is, for whoever points at it.
    pub title: String,
}

/// An axis.
pub struct Axis {
    pub label: &'static str,
    pub log: bool,
    /// Whether more is better.
    pub more: bool,
}

/// Colours that differ for most eyes (Okabe and Ito 2008).
pub const COLOURS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 62.0;
const BOTTOM: f64 = 46.0;
const EDGE: f64 = 14.0;

/// An axis with its range.
struct Scale<'a> {
    axis: &'a Axis,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl<'a> Scale<'a> {
    fn new(axis: &'a Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Scale<'a> {
        let put = |v: f64| if axis.log { v.max(1e-12).log10() } else { v };
        let (mut low, mut high) = values
            .filter(|v| v.is_finite())
            .map(put)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let space = (0.06 * (high - low)).max(1e-9 + 0.02 * high.abs());
        Scale { axis, low: low - space, high: high + space, from, to }
    }

    fn place(&self, v: f64) -> f64 {
        let v = if self.axis.log { v.max(1e-12).log10() } else { v };
        self.from + (self.to - self.from) * (v - self.low) / (self.high - self.low)
    }

    /// Round numbers within the range.
    fn ticks(&self) -> Vec<f64> {
        if self.axis.log {
            let decades = self.low.floor() as i32..=self.high.ceil() as i32;
            let wide = self.high - self.low > 3.0;
            let steps: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let all = decades.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)));
            return all.filter(|v| (self.low..=self.high).contains(&v.log10())).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let unit = 10f64.powf(rough.log10().floor());
        let step = unit * [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| unit * s >= rough).unwrap_or(10.0);
        let first = (self.low / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|v| *v <= self.high).collect()
    }
}

/// The chart; `front` joins the points that no other beats in both axes.
pub fn chart(x: &Axis, y: &Axis, marks: &[Mark]) -> String {
    let marks: Vec<&Mark> = marks.iter().filter(|m| m.at.0.is_finite() && m.at.1.is_finite()).collect();
    let spread =
        |at: f64, interval: Option<[f64; 2]>| [Some(at), interval.map(|i| i[0]), interval.map(|i| i[1])];
    let positive = |axis: &Axis, v: &f64| !axis.log || *v > 0.0;
    let xs = marks.iter().flat_map(|m| spread(m.at.0, m.interval.0)).flatten().filter(|v| positive(x, v));
    let ys = marks.iter().flat_map(|m| spread(m.at.1, m.interval.1)).flatten().filter(|v| positive(y, v));
    let sx = Scale::new(x, xs, LEFT, WIDTH - EDGE);
    let sy = Scale::new(y, ys, HEIGHT - BOTTOM, EDGE);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} against {}\">\n",
        y.label, x.label
    );
    for tick in sx.ticks() {
        let at = sx.place(tick);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{EDGE}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 15.0,
            short(tick)
        );
    }
    for tick in sy.ticks() {
        let at = sy.place(tick);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - EDGE,
            LEFT - 6.0,
            at + 4.0,
            short(tick)
        );
    }
    let arrow = |axis: &Axis| if axis.more { "more is better" } else { "less is better" };
    let middle = (HEIGHT - BOTTOM + EDGE) / 2.0;
    let _ = writeln!(
        svg,
        "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} ({})</text>\
         <text class=\"axis\" transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{} ({})</text>",
        (LEFT + WIDTH - EDGE) / 2.0,
        HEIGHT - 8.0,
        x.label,
        arrow(x),
        y.label,
        arrow(y)
    );
    let line: Vec<String> = front(x, y, &marks)
        .iter()
        .map(|m| format!("{:.1},{:.1}", sx.place(m.at.0), sy.place(m.at.1)))
        .collect();
    let _ = writeln!(svg, "<polyline class=\"front\" points=\"{}\"/>", line.join(" "));
    for m in &marks {
        let (cx, cy, colour) = (sx.place(m.at.0), sy.place(m.at.1), COLOURS[m.group % COLOURS.len()]);
        let _ =
            writeln!(svg, "<g stroke=\"{colour}\" fill=\"{colour}\"><title>{}</title>", escaped(&m.title));
        if let Some([low, high]) = m.interval.0 {
            let (a, b) = (sx.place(low), sx.place(high));
            let _ = writeln!(svg, "<line x1=\"{a:.1}\" x2=\"{b:.1}\" y1=\"{cy:.1}\" y2=\"{cy:.1}\"/>");
        }
        if let Some([low, high]) = m.interval.1 {
            let (a, b) = (sy.place(low), sy.place(high));
            let _ = writeln!(svg, "<line x1=\"{cx:.1}\" x2=\"{cx:.1}\" y1=\"{a:.1}\" y2=\"{b:.1}\"/>");
        }
        let _ = writeln!(
            svg,
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4.5\"/>\
             <text class=\"number\" stroke=\"none\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            cx + 7.0,
            cy - 6.0,
            m.number
        );
    }
    svg + "</svg>\n"
}

/// The points that no other beats in both axes, along the first.
fn front<'a>(x: &Axis, y: &Axis, marks: &[&'a Mark]) -> Vec<&'a Mark> {
    let good = |axis: &Axis, v: f64| if axis.more { -v } else { v };
    let of = |m: &Mark| (good(x, m.at.0), good(y, m.at.1));
    let beats = |a: &Mark, b: &Mark| {
        let ((ax, ay), (bx, by)) = (of(a), of(b));
        ax <= bx && ay <= by && (ax < bx || ay < by)
    };
    let mut best: Vec<&Mark> =
        marks.iter().copied().filter(|m| !marks.iter().any(|other| beats(other, m))).collect();
    best.sort_by(|a, b| a.at.0.total_cmp(&b.at.0));
    best
}

/// A tick.
fn short(v: f64) -> String {
    let digits = if v == 0.0 { 0 } else { (2 - v.abs().log10().floor() as i32).clamp(0, 6) as usize };
    let text = format!("{v:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// Text as HTML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize, at: (f64, f64)) -> Mark {
        Mark { at, interval: (None, Some([at.1 - 0.1, at.1 + 0.1])), group: 0, number, title: "a<b".into() }
    }

    #[test]
    fn fronts_hold_what_nothing_beats() {
        let (x, y) =
            (Axis { label: "s", log: true, more: false }, Axis { label: "c", log: false, more: true });
        let marks = [mark(1, (1.0, 0.2)), mark(2, (2.0, 0.1)), mark(3, (3.0, 0.9)), mark(4, (3.0, 0.8))];
        let numbers: Vec<usize> =
            front(&x, &y, &marks.iter().collect::<Vec<_>>()).iter().map(|m| m.number).collect();
        assert_eq!(numbers, [1, 3]);
        let svg = chart(&x, &y, &marks);
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("a&lt;b") && !svg.contains("NaN") && !svg.contains("inf"));
        // One point, or none, is a chart too.
        for marks in [&marks[..1], &[]] {
            let svg = chart(&x, &y, marks);
            assert!(!svg.contains("NaN") && svg.ends_with("</svg>\n"));
        }
    }
}
