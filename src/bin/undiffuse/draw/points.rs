//! Points in the plane: as a picture for sheets and films, as a plot, and their paths.

use super::plot::{Plot, Series, Style};
use image::{Rgb, RgbImage};

/// How far a plot of data reaches from the middle.
pub const DATA: f64 = 1.4;
/// How far one of noise does.
pub const NOISE: f64 = 2.8;
/// Paths that are drawn: more are a thicket.
pub const PATHS: usize = 160;
/// The length of all paths together that can still be followed.
const INK: f64 = 400.0;

/// A picture of points `[count, 2]`, `side` pixels wide, `reach` from the middle to an edge. What lies
/// outside is left out.
pub fn cloud(points: &[f32], side: u32, reach: f64) -> RgbImage {
    let mut picture = RgbImage::from_pixel(side, side, Rgb([255; 3]));
    let place = |v: f64| {
        let at = (v / reach * 0.5 + 0.5) * f64::from(side);
        (at >= 0.0 && at < f64::from(side)).then_some(at as u32)
    };
    for p in points.chunks_exact(2) {
        if let (Some(x), Some(y)) = (place(f64::from(p[0])), place(-f64::from(p[1]))) {
            let Rgb(below) = *picture.get_pixel(x, y);
            let ink = [0u8, 114, 178];
            // Half of what lies below stays, so that many points are darker than one.
            let mixed = [0, 1, 2].map(|c| ((u16::from(below[c]) + u16::from(ink[c])) / 2) as u8);
            picture.put_pixel(x, y, Rgb(mixed));
        }
    }
    picture
}

/// Points of each `[count, 2]` with a name.
pub fn scatter(title: &str, clouds: &[(&str, &[f32])], reach: f64) -> Plot {
    let series = clouds.iter().enumerate().map(|(color, (name, points))| Series {
        name: (*name).into(),
        points: points.chunks_exact(2).map(|p| (p[0].into(), p[1].into())).collect(),
        style: Style::Dots,
        color,
    });
    plot(title, series.collect(), reach)
}

/// Paths of points through `states`, each `[count, 2]`: lines from where they begin, and a dot where each
/// point ends. As many as can be told apart: [`PATHS`] of a flow's, some of the longer ones of noise.
pub fn flow(title: &str, states: &[Vec<f32>], reach: f64) -> Plot {
    let count = states.iter().map(|s| s.len() / 2).min().unwrap_or(0);
    let at = |state: &Vec<f32>, i: usize| (f64::from(state[2 * i]), f64::from(state[2 * i + 1]));
    let length = |i: usize| -> f64 {
        let steps = states.windows(2).map(|s| (at(&s[0], i), at(&s[1], i)));
        steps.map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1)).sum()
    };
    let all = count.min(PATHS);
    let mean = (0..all).map(length).sum::<f64>() / all.max(1) as f64;
    let most = ((INK / mean.max(1e-9)) as usize).clamp(6, PATHS).min(count);
    // Of many points, some from everywhere.
    let chosen: Vec<usize> = (0..most).map(|i| i * count / most).collect();
    let line = |(k, i): (usize, &usize)| Series {
        name: String::new(),
        points: states.iter().map(|s| at(s, *i)).collect(),
        style: Style::Line,
        // Few are told apart by their colours.
        color: if most > 12 { 5 } else { k },
    };
    let mut series: Vec<Series> = chosen.iter().enumerate().map(line).collect();
    let mut dots = |name: &str, state: Option<&Vec<f32>>, which: &[usize], color| {
        let points = state.into_iter().flat_map(|s| which.iter().map(|i| at(s, *i))).collect();
        series.push(Series { name: name.into(), points, style: Style::Dots, color });
    };
    let ends: Vec<usize> = (0..count).collect();
    dots("after the first step", states.first(), &chosen, 4);
    dots("the end", states.last(), &ends, 0);
    plot(title, series, reach)
}

fn plot(title: &str, series: Vec<Series>, reach: f64) -> Plot {
    Plot {
        title: title.into(),
        x: String::new(),
        y: String::new(),
        log: false,
        // Equal units both ways, beside the room that axes and title take.
        size: (560, 520),
        limits: Some((-reach..reach, -reach..reach)),
        series,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_they_are() {
        let picture = cloud(&[0.5, 0.5, 0.5, 0.5, -9.0, 0.0, f32::NAN, 0.0], 8, 1.0);
        let dark: Vec<_> = picture.enumerate_pixels().filter(|(.., p)| p.0 != [255; 3]).collect();
        // Up is up: y = 0.5 is a quarter from above.
        assert_eq!(dark.len(), 1);
        assert_eq!((dark[0].0, dark[0].1), (6, 2));
        assert_eq!(dark[0].2 .0, [63, 149, 197]);
    }

    #[test]
    fn paths_join_their_ends() {
        let states = vec![vec![2.0, 0.0, -2.0, 0.0], vec![1.0, 0.0, -1.0, 0.0]];
        let svg = flow("paths", &states, 3.0).svg().unwrap();
        assert_eq!(
            svg.matches("<polyline").count()
                - scatter("", &[], 3.0).svg().unwrap().matches("<polyline").count(),
            2
        );
        assert!(svg.contains("the end"));
    }
}
