//! What is drawn beside samples: text, contact sheets, plots.

pub mod letters;
pub mod plot;
mod raster;
pub mod sheet;
