//! Precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020,
//! arXiv:2002.09797): a set's manifold is the union of balls around its pictures, each as wide as to the
//! `k`th neighbour.

use super::table::square_distance;
use super::{threads, Features, MetricsError};

/// How two sets cover each other.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Manifold {
    /// Of the generated pictures, how many lie on the reference's manifold.
    pub precision: f64,
    /// Of the reference's pictures, how many lie on the generated one.
    pub recall: f64,
    /// In how many of the reference's balls a generated picture lies, by `k`; past 1 where they crowd.
    pub density: f64,
    /// Of the reference's balls, how many hold a generated picture.
    pub coverage: f64,
}

/// A reference set with the widths of its balls, found once.
#[derive(Clone, Debug)]
pub struct Balls<'a> {
    set: &'a Features,
    /// Squared.
    radii: Vec<f64>,
    k: usize,
}

/// All four, by the distance to the `k`th neighbour (a picture is not its own).
///
/// # Errors
/// Sets of different widths or of no more than `k` pictures; a `k` of 0.
pub fn manifold(reference: &Features, generated: &Features, k: usize) -> Result<Manifold, MetricsError> {
    Balls::around(reference, k)?.against(generated)
}

impl<'a> Balls<'a> {
    /// Around the pictures of a set.
    ///
    /// # Errors
    /// A set of no more than `k` pictures; a `k` of 0.
    pub fn around(set: &'a Features, k: usize) -> Result<Balls<'a>, MetricsError> {
        if k == 0 {
            let what = "a picture has no 0th neighbour: choose 1 or more".into();
            return Err(MetricsError::Option { option: "k", what });
        }
        set.at_least(k + 1, "precision and recall", "k")?;
        let radii = threads::map(set.len(), |i| {
            // The `k` smallest so far, descending.
            let mut near = vec![f64::INFINITY; k];
            for j in (0..set.len()).filter(|j| *j != i) {
                let d = square_distance(set.row(i), set.row(j));
                if d < near[0] {
                    let at = near.partition_point(|v| *v > d);
                    near[..at].rotate_left(1);
                    near[at - 1] = d;
                }
            }
            near[0]
        });
        Ok(Balls { set, radii, k })
    }

    /// A generated set against these.
    ///
    /// # Errors
    /// As [`manifold`].
    pub fn against(&self, generated: &Features) -> Result<Manifold, MetricsError> {
        Ok(self.against_each(generated)?.0)
    }

    /// [`Balls::against`], and which pictures of the reference are recalled.
    ///
    /// # Errors
    /// As [`manifold`].
    pub fn against_each(&self, generated: &Features) -> Result<(Manifold, Vec<bool>), MetricsError> {
        self.set.beside(generated)?;
        let own = Balls::around(generated, self.k)?;
        let (real, fake) = (self.set, generated);
        // Of each picture of the reference: whether it is recalled, whether its ball holds one.
        let of_real = threads::map(real.len(), |i| {
            let (mut recalled, mut covered) = (false, false);
            for j in 0..fake.len() {
                let d = square_distance(real.row(i), fake.row(j));
                recalled |= d < own.radii[j];
                covered |= d < self.radii[i];
            }
            (recalled, covered)
        });
        let of_fake = threads::map(fake.len(), |j| {
            (0..real.len()).filter(|i| square_distance(real.row(*i), fake.row(j)) < self.radii[*i]).count()
        });
        let share = |n: usize, of: usize| n as f64 / of as f64;
        let found = Manifold {
            precision: share(of_fake.iter().filter(|n| **n > 0).count(), fake.len()),
            recall: share(of_real.iter().filter(|r| r.0).count(), real.len()),
            density: share(of_fake.iter().sum(), self.k * fake.len()),
            coverage: share(of_real.iter().filter(|r| r.1).count(), real.len()),
        };
        Ok((found, of_real.iter().map(|r| r.0).collect()))
    }
}
