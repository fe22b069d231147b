//! Plots of curves and points, as SVG and as pixels.

use super::raster::Raster;
use image::{Rgb, RgbImage};
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::ops::Range;
use std::path::Path;

/// What a series is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line with a dot at each point.
    Curve,
    /// A thin line.
    Line,
    /// Dots.
    Dots,
}

/// Points with a name.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend; empty is none.
    pub name: String,
    /// The points; those that are not finite (or not positive on a logarithmic axis) are left out.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub style: Style,
    /// Which colour, as a number.
    pub color: usize,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Under the horizontal axis.
    pub x: String,
    /// Beside the vertical axis.
    pub y: String,
    /// Whether both axes are logarithmic.
    pub log: bool,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// What the axes show; `None` is all that is there.
    pub limits: Option<(Range<f64>, Range<f64>)>,
    /// What is drawn, in order.
    pub series: Vec<Series>,
}

type Failed = Box<dyn std::error::Error>;

impl Plot {
    /// The plot as text of an SVG file.
    pub fn svg(&self) -> Result<String, Failed> {
        let mut text = String::new();
        self.draw(&SVGBackend::with_string(&mut text, self.size).into_drawing_area())?;
        Ok(text)
    }

    /// The plot as a picture.
    pub fn picture(&self) -> Result<RgbImage, Failed> {
        let mut picture = RgbImage::from_pixel(self.size.0, self.size.1, Rgb([255; 3]));
        self.draw(&Raster(&mut picture).into_drawing_area())?;
        Ok(picture)
    }

    /// Writes PATH.svg and PATH.png, whatever extension `path` has.
    pub fn write(&self, path: &Path) -> Result<[std::path::PathBuf; 2], Failed> {
        let (svg, png) = (path.with_extension("svg"), path.with_extension("png"));
        crate::output::file::write(&svg, self.svg()?.as_bytes())?;
        crate::output::png::write_plain(&png, &self.picture()?, &self.title)?;
        Ok([svg, png])
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, plotters::coord::Shift>) -> Result<(), Failed>
    where
        B::ErrorType: 'static,
    {
        let fine = |v: f64| v.is_finite() && (!self.log || v > 0.0);
        let points = || self.series.iter().flat_map(|s| &s.points).filter(|p| fine(p.0) && fine(p.1));
        let range = |of: fn(&(f64, f64)) -> f64| {
            let least = points().map(of).fold(f64::INFINITY, f64::min);
            let most = points().map(of).fold(f64::NEG_INFINITY, f64::max);
            match least <= most {
                false => 1.0..2.0,
                true if self.log => least / 1.25..most * 1.25,
                true => {
                    let pad = (0.03 * (most - least)).max(1e-9);
                    least - pad..most + pad
                }
            }
        };
        let (x, y) = self.limits.clone().unwrap_or_else(|| (range(|p| p.0), range(|p| p.1)));
        match self.log {
            true => self.chart(area, x.log_scale(), y.log_scale()),
            false => self.chart::<B, Range<f64>, Range<f64>>(area, x, y),
        }
    }

    fn chart<B, X, Y>(&self, area: &DrawingArea<B, plotters::coord::Shift>, x: X, y: Y) -> Result<(), Failed>
    where
        B: DrawingBackend,
        B::ErrorType: 'static,
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let failed = |e: DrawingAreaErrorKind<B::ErrorType>| -> Failed { e.to_string().into() };
        area.fill(&WHITE).map_err(failed)?;
        let font = ("monospace", 15).into_font();
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .caption(&self.title, font.clone())
            .x_label_area_size(46)
            .y_label_area_size(84)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        let number = |v: &f64| match v.abs() {
            0.0 => "0".to_string(),
            a if (0.01..100_000.0).contains(&a) => format!("{}", (v * 1e4).round() / 1e4),
            _ => format!("{v:.0e}"),
        };
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .label_style(font.clone())
            .axis_desc_style(font.clone())
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .light_line_style(RGBColor(240, 240, 240))
            .draw()
            .map_err(failed)?;
        let fine =
            |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!self.log || (p.0 > 0.0 && p.1 > 0.0));
        // Lines are cut at the edge, dots beyond it left out.
        let inside =
            |p: &&(f64, f64)| self.limits.as_ref().is_none_or(|(x, y)| x.contains(&p.0) && y.contains(&p.1));
        for series in &self.series {
            let color = color(series.color);
            let points: Vec<(f64, f64)> = series.points.iter().filter(fine).filter(inside).copied().collect();
            let width = if series.style == Style::Curve { 2 } else { 1 };
            if series.style != Style::Dots {
                let line = chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(width)));
                let drawn = line.map_err(failed)?;
                if !series.name.is_empty() {
                    drawn.label(&series.name).legend(move |(x, y)| {
                        PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(2))
                    });
                }
            }
            if series.style != Style::Line {
                let size = if series.style == Style::Curve { 3 } else { 1 };
                let dots = points.into_iter().map(|p| Circle::new(p, size, color.filled()));
                let drawn = chart.draw_series(dots).map_err(failed)?;
                if series.style == Style::Dots && !series.name.is_empty() {
                    drawn
                        .label(&series.name)
                        .legend(move |(x, y)| Circle::new((x + 8, y), 3, color.filled()));
                }
            }
        }
        if self.series.iter().any(|s| !s.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.85))
                .border_style(RGBColor(200, 200, 200))
                .label_font(font)
                .draw()
                .map_err(failed)?;
        }
        area.present().map_err(failed)
    }
}

/// Colours that are told apart, also by those who see few (Okabe & Ito 2008), then darker ones.
fn color(i: usize) -> RGBColor {
    const COLORS: [(u8, u8, u8); 8] = [
        (0, 114, 178),
        (213, 94, 0),
        (0, 158, 115),
        (204, 121, 167),
        (230, 159, 0),
        (86, 180, 233),
        (60, 60, 60),
        (150, 120, 40),
    ];
    let (r, g, b) = COLORS[i % COLORS.len()];
    let dark = |c: u8| (f64::from(c) * 0.6f64.powi((i / COLORS.len()) as i32)) as u8;
    RGBColor(dark(r), dark(g), dark(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(log: bool) -> Plot {
        let points = vec![(10.0, 0.5), (20.0, 0.1), (40.0, f64::NAN), (80.0, 1e-3)];
        let series =
            |name: &str, style, color| Series { name: name.into(), points: points.clone(), style, color };
        Plot {
            title: "distance".into(),
            x: "NFE".into(),
            y: "rms".into(),
            log,
            size: (640, 480),
            limits: None,
            series: vec![
                series("ddim", Style::Curve, 0),
                series("", Style::Dots, 9),
                series("", Style::Line, 2),
            ],
        }
    }

    #[test]
    fn both_forms_hold_curve_and_words() {
        for log in [false, true] {
            let svg = plot(log).svg().unwrap();
            assert!(svg.contains("ddim") && svg.contains("NFE") && svg.contains("polyline"), "{svg}");
            let picture = plot(log).picture().unwrap();
            let blue = picture.pixels().filter(|p| p.0[2] > 150 && p.0[0] < 50).count();
            assert!(blue > 300, "{blue} blue pixels");
        }
        let empty = Plot { series: Vec::new(), ..plot(true) };
        assert!(empty.svg().is_ok() && empty.picture().is_ok());
    }
}
