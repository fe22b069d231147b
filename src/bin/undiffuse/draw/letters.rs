//! Text in pictures: the letters of Noto Sans Mono, 16 pixels high.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{get_raster, get_raster_width, FontWeight, RasterHeight};

const HEIGHT: RasterHeight = RasterHeight::Size16;

/// Width and height of a line of text.
pub fn size(text: &str) -> (u32, u32) {
    let width = get_raster_width(FontWeight::Regular, HEIGHT) * text.chars().count();
    (width as u32, HEIGHT.val() as u32)
}

/// Calls `dot(x, y, ink)` for every pixel of the text that has ink, from 0 to 1.
pub fn dots(text: &str, mut dot: impl FnMut(u32, u32, f32)) {
    let mut left = 0;
    for letter in text.chars() {
        let raster = get_raster(letter, FontWeight::Regular, HEIGHT)
            .or_else(|| get_raster('?', FontWeight::Regular, HEIGHT));
        let Some(raster) = raster else { continue };
        for (y, row) in raster.rows().enumerate() {
            for (x, ink) in row.iter().enumerate().filter(|(_, ink)| **ink > 0) {
                dot(left + x as u32, y as u32, f32::from(*ink) / 255.0);
            }
        }
        left += raster.width() as u32;
    }
}

/// Writes in black, the upper left corner at (x, y). What is outside is left out.
pub fn write(image: &mut RgbImage, text: &str, x: u32, y: u32) {
    dots(text, |dx, dy, ink| {
        if let (Some(x), Some(y)) = (x.checked_add(dx), y.checked_add(dy)) {
            if x < image.width() && y < image.height() {
                let Rgb(below) = *image.get_pixel(x, y);
                image.put_pixel(x, y, Rgb(below.map(|b| (f32::from(b) * (1.0 - ink)) as u8)));
            }
        }
    });
}
