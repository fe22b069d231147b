//! Features of a set of pictures.

use super::MetricsError;

/// Features of a set of pictures: a row for each, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    set: String,
    width: usize,
    values: Vec<f32>,
}

impl Features {
    /// From `values`, `[pictures, width]`; `set` names them in errors.
    ///
    /// # Errors
    /// [`MetricsError::Ragged`], [`MetricsError::NotFinite`].
    pub fn new(set: &str, width: usize, values: Vec<f32>) -> Result<Features, MetricsError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(MetricsError::Ragged { set: set.into(), len: values.len(), width });
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(MetricsError::NotFinite { set: set.into(), row: i / width, column: i % width });
        }
        Ok(Features { set: set.into(), width, values })
    }

    /// What the set is called.
    pub fn set(&self) -> &str {
        &self.set
    }

    /// Features of a picture.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pictures.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All numbers, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The features of a picture.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.width..(i + 1) * self.width]
    }

    /// Some of the pictures, in the order of `rows`, which are below [`Features::len`].
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Features {
        let values = rows.iter().flat_map(|&i| self.row(i)).copied().collect();
        Features { set: self.set.clone(), width: self.width, values }
    }

    /// Refuses sets of different widths.
    ///
    /// # Errors
    /// [`MetricsError::Width`].
    pub fn beside(&self, other: &Features) -> Result<(), MetricsError> {
        match self.width == other.width {
            true => Ok(()),
            false => Err(MetricsError::Width { left: self.width, right: other.width }),
        }
    }

    /// Refuses a set that is too small for `what`.
    pub(super) fn at_least(
        &self,
        least: usize,
        what: &'static str,
        option: &'static str,
    ) -> Result<(), MetricsError> {
        match self.len() >= least {
            true => Ok(()),
            false => {
                Err(MetricsError::TooFew { what, set: self.set.clone(), least, found: self.len(), option })
            }
        }
    }
}

/// The dot product, f64. Eight sums, so that the compiler may keep them side by side.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    fold(a, b, |a, b| a * b)
}

/// The squared distance, f64.
pub(super) fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    fold(a, b, |a, b| (a - b) * (a - b))
}

fn fold(a: &[f32], b: &[f32], f: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0f64; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 =
        a.remainder().iter().zip(b.remainder()).map(|(x, y)| f(f64::from(*x), f64::from(*y))).sum();
    for (a, b) in a.zip(b) {
        for i in 0..8 {
            sums[i] += f(f64::from(a[i]), f64::from(b[i]));
        }
    }
    sums.iter().sum::<f64>() + rest
}
