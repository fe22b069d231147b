//! What can be wrong with features.

/// Errors of statistics of features.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A feature is NaN or infinite.
    #[error("features of {set}: number {column} of row {row} is NaN or infinite: look at the pictures or the weights that gave it")]
    NotFinite {
        /// Whose.
        set: String,
        /// Which picture, from 0.
        row: usize,
        /// Which feature, from 0.
        column: usize,
    },
    /// Numbers that are no rows of the width.
    #[error("features of {set}: {len} numbers are no rows of {width}")]
    Ragged {
        /// Whose.
        set: String,
        /// How many numbers.
        len: usize,
        /// Numbers of a row.
        width: usize,
    },
    /// Two sets have features of different networks.
    #[error(
        "one set has {left} features a picture, the other {right}: take the same feature network for both"
    )]
    Width {
        /// Of the first.
        left: usize,
        /// Of the second.
        right: usize,
    },
    /// Too few rows.
    #[error(
        "{what} takes {least} pictures or more, {set} has {found}: give more, or choose a smaller {option}"
    )]
    TooFew {
        /// What is to be computed.
        what: &'static str,
        /// Whose.
        set: String,
        /// How many it takes.
        least: usize,
        /// How many there are.
        found: usize,
        /// What may be smaller instead.
        option: &'static str,
    },
    /// Statistics that are none: of other shapes, not finite, or of no symmetric covariance.
    #[error("statistics of {set}: {what}")]
    Statistics {
        /// Whose.
        set: String,
        /// What is wrong.
        what: String,
    },
    /// An option that means nothing.
    #[error("{option}: {what}")]
    Option {
        /// Which.
        option: &'static str,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The eigenvalues of a covariance were not found.
    #[error(
        "the eigenvalues of a covariance of {width} features do not converge: its entries are too far apart"
    )]
    NoConvergence {
        /// Rows of the matrix.
        width: usize,
    },
}
