//! Beside floor 6: how near two sets of pictures are, by features of theirs. Pure and f64; no device,
//! no network, no file is known here.
//!
//! | | what it says | source |
//! | --- | --- | --- |
//! | [`frechet`] | quality and coverage in one number, as normal distributions | Heusel et al. 2017, arXiv:1706.08500 |
//! | [`kernel`] | the same without an assumption, unbiased | Binkowski et al. 2018, arXiv:1801.01401 |
//! | [`mod@manifold`] | precision, recall; density, coverage | Kynkaanniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797 |
//! | [`modes`] | which classes are hit, how evenly | |
//! | [`subsample`] | how far each may be off | Politis and Romano 1994 |

mod error;
pub mod frechet;
pub mod kernel;
pub mod manifold;
pub mod modes;
mod moments;
pub mod subsample;
mod symmetric;
mod table;
#[cfg(test)]
mod tests;
mod threads;

pub use error::MetricsError;
pub use frechet::frechet_distance;
pub use kernel::{kernel_distance, KernelDistance, KernelOptions};
pub use manifold::{manifold, Manifold};
pub use modes::Modes;
pub use moments::Moments;
pub use subsample::{Estimate, Subsets};
pub use symmetric::Symmetric;
pub use table::Features;
