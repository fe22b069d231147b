//! What is drawn beside samples: text, contact sheets, plots, points.

pub mod letters;
pub mod plot;
pub mod points;
mod raster;
pub mod sheet;
