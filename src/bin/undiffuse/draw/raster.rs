//! Plots as pixels: plotters' rasteriser, our letters.

use super::letters;
use image::{Rgb, RgbImage};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::FontTransform;
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use std::convert::Infallible;

/// A picture that plotters draws on.
pub struct Raster<'a>(pub &'a mut RgbImage);

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Raster<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        let inside = |v: i32, size: u32| u32::try_from(v).ok().filter(|v| *v < size);
        if let (Some(x), Some(y)) = (inside(x, self.0.width()), inside(y, self.0.height())) {
            let Rgb(below) = *self.0.get_pixel(x, y);
            let (r, g, b) = color.rgb;
            let mixed = [r, g, b].into_iter().zip(below);
            let mixed: Vec<u8> = mixed
                .map(|(c, b)| (f64::from(b) + (f64::from(c) - f64::from(b)) * color.alpha) as u8)
                .collect();
            self.0.put_pixel(x, y, Rgb([mixed[0], mixed[1], mixed[2]]));
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let (w, h) = letters::size(text);
        let (w, h) = (w as i32, h as i32);
        let left = match style.anchor().h_pos {
            HPos::Left => 0,
            HPos::Center => -w / 2,
            HPos::Right => -w,
        };
        let top = match style.anchor().v_pos {
            VPos::Top => 0,
            VPos::Center => -h / 2,
            VPos::Bottom => -h,
        };
        let color = style.color();
        let mut dots = Vec::new();
        letters::dots(text, |x, y, ink| dots.push((x as i32 + left, y as i32 + top, f64::from(ink))));
        for (x, y, ink) in dots {
            let (x, y) = match style.transform() {
                FontTransform::None => (x, y),
                FontTransform::Rotate90 => (-y, x),
                FontTransform::Rotate180 => (-x, -y),
                FontTransform::Rotate270 => (y, -x),
            };
            self.draw_pixel((at.0 + x, at.1 + y), BackendColor { alpha: color.alpha * ink, ..color })?;
        }
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok(letters::size(text))
    }
}
