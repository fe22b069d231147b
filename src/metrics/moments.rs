//! Mean and covariance, in parts that can be joined.

use super::symmetric::dot;
use super::{Features, MetricsError, Symmetric};

/// Mean and covariance of features, of any number of pictures: parts are joined by [`Moments::merge`], to
/// rounding what all pictures at once would give (Chan, Golub and LeVeque 1983).
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    count: u64,
    mean: Vec<f64>,
    /// Sums of products of differences from the mean.
    scatter: Symmetric,
}

impl Moments {
    /// Of a set that is not empty.
    ///
    /// # Errors
    /// [`MetricsError::TooFew`].
    pub fn of(features: &Features) -> Result<Moments, MetricsError> {
        features.at_least(1, "a mean", "set")?;
        let (n, width) = (features.len(), features.width());
        let mean: Vec<f64> = (0..width)
            .map(|j| (0..n).map(|i| f64::from(features.row(i)[j])).sum::<f64>() / n as f64)
            .collect();
        let columns: Vec<Vec<f64>> =
            (0..width).map(|j| (0..n).map(|i| f64::from(features.row(i)[j]) - mean[j]).collect()).collect();
        let scatter = Symmetric::of(width, |i, j| dot(&columns[i], &columns[j]));
        Ok(Moments { count: n as u64, mean, scatter })
    }

    /// Of a mean `[d]` and a covariance `[d, d]` that somebody else made of `count` pictures.
    ///
    /// # Errors
    /// [`MetricsError::Statistics`].
    pub fn from_statistics(
        set: &str,
        count: u64,
        mean: Vec<f64>,
        covariance: Vec<f64>,
    ) -> Result<Moments, MetricsError> {
        if mean.iter().any(|v| !v.is_finite()) {
            let what = "an entry of the mean is NaN or infinite".into();
            return Err(MetricsError::Statistics { set: set.into(), what });
        }
        let covariance = Symmetric::new(set, mean.len(), covariance)?;
        let n = count.saturating_sub(1).max(1) as f64;
        let scatter = Symmetric::of(mean.len(), |i, j| covariance.at(i, j) * n);
        Ok(Moments { count: count.max(2), mean, scatter })
    }

    /// How many pictures.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, `[d]`.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The unbiased covariance, `[d, d]`: as NumPy's `cov`, `n - 1` divides. Of one picture it is 0.
    pub fn covariance(&self) -> Symmetric {
        let n = self.count.saturating_sub(1).max(1) as f64;
        Symmetric::of(self.mean.len(), |i, j| self.scatter.at(i, j) / n)
    }

    /// Of both sets together.
    ///
    /// # Errors
    /// [`MetricsError::Width`].
    pub fn merge(&self, other: &Moments) -> Result<Moments, MetricsError> {
        let (left, right) = (self.mean.len(), other.mean.len());
        if left != right {
            return Err(MetricsError::Width { left, right });
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let delta: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(x, y)| y - x).collect();
        let mean = self.mean.iter().zip(&delta).map(|(x, d)| x + d * b / (a + b)).collect();
        let between = a * b / (a + b);
        let scatter = Symmetric::of(left, |i, j| {
            self.scatter.at(i, j) + other.scatter.at(i, j) + delta[i] * delta[j] * between
        });
        Ok(Moments { count: self.count + other.count, mean, scatter })
    }
}
