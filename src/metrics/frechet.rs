//! Frechet distance: of two normal distributions with the sets' means and covariances (Dowson and Landau
//! 1982; Heusel et al. 2017, arXiv:1706.08500). Squared, as the field reports it.

use super::{MetricsError, Moments, Symmetric};

/// `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))`. With fewer pictures than features it is still
/// defined, and large.
///
/// # Errors
/// Sets of different widths, or eigenvalues that are not found.
pub fn frechet_distance(a: &Moments, b: &Moments) -> Result<f64, MetricsError> {
    Frechet::from(a)?.to(b)
}

/// The distances from one distribution, whose root is taken once.
#[derive(Clone, Debug)]
pub struct Frechet {
    mean: Vec<f64>,
    trace: f64,
    root: Symmetric,
}

impl Frechet {
    /// From the distribution with these moments.
    ///
    /// # Errors
    /// [`MetricsError::NoConvergence`].
    pub fn from(a: &Moments) -> Result<Frechet, MetricsError> {
        let covariance = a.covariance();
        Ok(Frechet { mean: a.mean().to_vec(), trace: covariance.trace(), root: covariance.sqrt()? })
    }

    /// To another: the eigenvalues of `C1 C2` are those of `C1^(1/2) C2 C1^(1/2)`, which is symmetric.
    ///
    /// # Errors
    /// As [`frechet_distance`].
    pub fn to(&self, b: &Moments) -> Result<f64, MetricsError> {
        let (left, right) = (self.mean.len(), b.mean().len());
        if left != right {
            return Err(MetricsError::Width { left, right });
        }
        let covariance = b.covariance();
        let product = self.root.sandwich(&covariance).eigenvalues()?;
        let root: f64 = product.iter().map(|v| v.max(0.0).sqrt()).sum();
        let apart: f64 = self.mean.iter().zip(b.mean()).map(|(x, y)| (x - y) * (x - y)).sum();
        Ok(apart + self.trace + covariance.trace() - 2.0 * root)
    }
}
