//! Many images as one.

use super::{OutputError, MOST};
use image::RgbImage;

/// Where images lie in a grid.
#[derive(Clone, Copy, Debug)]
pub struct Sheet {
    columns: u32,
    gap: u32,
    /// Width and height of the grid.
    pub size: (u32, u32),
}

impl Sheet {
    /// About three columns to two rows, of images of this size. One image is itself.
    pub fn new(count: usize, (w, h): (u32, u32)) -> Result<Sheet, OutputError> {
        let sheet = || {
            let count = u32::try_from(count).ok().filter(|&c| u64::from(c) <= MOST)?;
            if count == 1 {
                let fits = u64::from(w) * u64::from(h) <= MOST;
                return fits.then_some(Sheet { columns: 1, gap: 0, size: (w, h) });
            }
            let columns =
                (1..=count.max(1)).find(|&c| u64::from(c) * u64::from(c) * 2 >= u64::from(count) * 3);
            let columns = columns.unwrap_or(1);
            let gap = (w / 16).max(1);
            let side = |n: u32, one: u32| one.checked_add(gap)?.checked_mul(n)?.checked_add(gap);
            let size = (side(columns, w)?, side(count.div_ceil(columns).max(1), h)?);
            (u64::from(size.0) * u64::from(size.1) <= MOST).then_some(Sheet { columns, gap, size })
        };
        sheet().ok_or_else(|| OutputError::TooLarge {
            what: format!("a grid of {count} images"),
            advice: "name a folder with --out, or use a smaller --zoom",
        })
    }
}

/// An image of this size, each pixel `zoom` wide.
pub fn zoomed_size(size: (usize, usize), zoom: u32) -> Result<(u32, u32), OutputError> {
    let side = |n: usize| u32::try_from(n).ok().and_then(|n| n.checked_mul(zoom));
    match (side(size.0), side(size.1)) {
        (Some(w), Some(h)) if u64::from(w) * u64::from(h) <= MOST => Ok((w, h)),
        _ => {
            let what = format!("an image of {} x {} pixels, each {zoom} wide,", size.0, size.1);
            Err(OutputError::TooLarge { what, advice: "use a smaller --zoom" })
        }
    }
}

/// All images on white, each pixel `zoom` wide; one image alone is itself.
pub fn grid(images: &[RgbImage], zoom: u32) -> Result<RgbImage, OutputError> {
    let (w, h) = images.first().map_or((1, 1), |i| i.dimensions());
    let (w, h) = zoomed_size((w as usize, h as usize), zoom)?;
    let Sheet { columns, gap, size } = Sheet::new(images.len(), (w, h))?;
    let mut sheet = RgbImage::from_pixel(size.0, size.1, image::Rgb([255; 3]));
    for (i, image) in images.iter().enumerate() {
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        let big = zoomed(image, zoom);
        let (x, y) = (gap + column * (w + gap), gap + row * (h + gap));
        image::imageops::replace(&mut sheet, &big, i64::from(x), i64::from(y));
    }
    Ok(sheet)
}

/// Each pixel `zoom` times as wide and high.
pub fn zoomed(image: &RgbImage, zoom: u32) -> RgbImage {
    let (w, h) = image.dimensions();
    RgbImage::from_fn(w * zoom, h * zoom, |x, y| *image.get_pixel(x / zoom, y / zoom))
}
