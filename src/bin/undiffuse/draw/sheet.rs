//! A contact sheet: pictures in a table, with words above its columns, left of its rows
//! and under each picture.

use super::letters;
use crate::output::grid::zoomed;
use crate::output::{OutputError, MOST};
use image::{Rgb, RgbImage};

/// A picture of a table and the lines under it.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The picture.
    pub image: RgbImage,
    /// What stands under it.
    pub lines: Vec<String>,
}

/// A table of pictures of one size.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// Words above the columns; none is no line.
    pub columns: Vec<String>,
    /// Words left of the rows; none is no column.
    pub rows: Vec<String>,
    /// The pictures, row by row; `None` leaves a place empty.
    pub cells: Vec<Vec<Option<Cell>>>,
}

const GAP: u32 = 6;

impl Sheet {
    /// The table with each pixel `zoom` wide, on white.
    ///
    /// # Errors
    /// More pixels than a picture may have.
    pub fn draw(&self, zoom: u32) -> Result<RgbImage, OutputError> {
        let all = || self.cells.iter().flatten().flatten();
        let (w, h) = all().fold((1, 1), |(w, h), c| (c.image.width().max(w), c.image.height().max(h)));
        let lines = all().map(|c| c.lines.len()).max().unwrap_or(0) as u32;
        let text = letters::size("").1;
        let longest =
            |words: &mut dyn Iterator<Item = &String>| words.map(|t| letters::size(t).0).max().unwrap_or(0);
        let under = longest(&mut all().flat_map(|c| &c.lines)).max(longest(&mut self.columns.iter()));
        let left = match longest(&mut self.rows.iter()) {
            0 => 0,
            width => width + GAP,
        };
        let top = if self.columns.is_empty() { 0 } else { text + GAP };
        let columns = self.cells.iter().map(Vec::len).max().unwrap_or(0) as u64;
        let cell = (u64::from((w * zoom).max(under) + GAP), u64::from(h * zoom + lines * text + GAP));
        let width = u64::from(left + GAP) + columns * cell.0;
        let height = u64::from(top + GAP) + self.cells.len() as u64 * cell.1;
        if width.saturating_mul(height) > MOST {
            let advice = "use a smaller --zoom or fewer pictures";
            return Err(OutputError::TooLarge { what: "the contact sheet".into(), advice });
        }
        let mut sheet = RgbImage::from_pixel(width as u32, height as u32, Rgb([255; 3]));
        let x_of = |i: usize| left + GAP + (i as u64 * cell.0) as u32;
        let y_of = |i: usize| top + GAP + (i as u64 * cell.1) as u32;
        for (i, words) in self.columns.iter().enumerate() {
            letters::write(&mut sheet, words, x_of(i), GAP);
        }
        for (i, words) in self.rows.iter().enumerate() {
            letters::write(&mut sheet, words, GAP, y_of(i));
        }
        for (r, row) in self.cells.iter().enumerate() {
            for (c, cell) in row.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let (x, y) = (x_of(c), y_of(r));
                image::imageops::replace(&mut sheet, &zoomed(&cell.image, zoom), x.into(), y.into());
                for (i, line) in cell.lines.iter().enumerate() {
                    letters::write(&mut sheet, line, x, y + h * zoom + i as u32 * text);
                }
            }
        }
        Ok(sheet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_words_lie_where_they_belong() {
        let red = Cell { image: RgbImage::from_pixel(4, 4, Rgb([255, 0, 0])), lines: vec!["NFE 5".into()] };
        let sheet = Sheet {
            columns: vec!["5 steps".into(), "10 steps".into()],
            rows: vec!["ddim".into()],
            cells: vec![vec![Some(red), None]],
        };
        let image = sheet.draw(3).unwrap();
        let reds = image.pixels().filter(|p| p.0 == [255, 0, 0]).count();
        assert_eq!(reds, 12 * 12);
        assert!(image.pixels().filter(|p| p.0[0] < 60 && p.0[1] < 60).count() > 100, "letters");
        let empty = Sheet::default().draw(1).unwrap();
        assert!(empty.width() > 0);
    }
}
