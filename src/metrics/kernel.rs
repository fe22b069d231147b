//! Kernel distance: the squared maximum mean discrepancy under a cubic kernel, on subsets (KID; Binkowski et
//! al. 2018, arXiv:1801.01401), as torch-fidelity counts it.

use super::table::dot;
use super::{threads, Features, MetricsError, Subsets};

/// How the kernel distance is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// How many pairs of subsets.
    pub subsets: usize,
    /// Pictures of a subset, without replacement; no more than the smaller set has.
    pub subset_size: usize,
    /// Which subsets.
    pub seed: u64,
}

impl Default for KernelOptions {
    /// 100 subsets of 1000, as torch-fidelity takes them.
    fn default() -> Self {
        Self { subsets: 100, subset_size: 1000, seed: 0 }
    }
}

/// A kernel distance.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct KernelDistance {
    /// The mean over the subsets: an unbiased estimate, which may be negative.
    pub mean: f64,
    /// The standard deviation over the subsets (of which as many as there are divide): torch-fidelity's
    /// `kernel_inception_distance_std`.
    pub std: f64,
    /// How many subsets.
    pub subsets: usize,
    /// Pictures of a subset.
    pub subset_size: usize,
}

/// The kernel distance of two sets. A subset size past the smaller set's is the smaller set's, which
/// [`KernelDistance::subset_size`] tells.
///
/// # Errors
/// Sets of different widths or of fewer than two pictures, or no subsets.
pub fn kernel_distance(
    a: &Features,
    b: &Features,
    options: KernelOptions,
) -> Result<KernelDistance, MetricsError> {
    a.beside(b)?;
    if options.subsets == 0 || options.subset_size < 2 {
        let what = "1 subset of 2 pictures is the least".into();
        return Err(MetricsError::Option { option: "kernel distance", what });
    }
    a.at_least(2, "a kernel distance", "set")?;
    b.at_least(2, "a kernel distance", "set")?;
    let size = options.subset_size.min(a.len()).min(b.len());
    let (mut of_a, mut of_b) = (Subsets::new(options.seed), Subsets::new(options.seed ^ 0x5DEE_CE66));
    let pairs = (0..options.subsets).map(|_| (of_a.draw(a.len(), size), of_b.draw(b.len(), size)));
    over(a, b, size, pairs)
}

/// Over these pairs of subsets.
pub(super) fn over(
    a: &Features,
    b: &Features,
    subset_size: usize,
    pairs: impl Iterator<Item = (Vec<usize>, Vec<usize>)>,
) -> Result<KernelDistance, MetricsError> {
    let each = pairs.map(|(of_a, of_b)| discrepancy(&a.select(&of_a), &b.select(&of_b)));
    let all = each.collect::<Result<Vec<f64>, MetricsError>>()?;
    let n = all.len() as f64;
    let mean = all.iter().sum::<f64>() / n;
    let std = (all.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n).sqrt();
    Ok(KernelDistance { mean, std, subsets: all.len(), subset_size })
}

/// The unbiased squared maximum mean discrepancy under `(x . y / d + 1)^3`.
///
/// # Errors
/// Sets of different widths or of fewer than two pictures.
pub fn discrepancy(a: &Features, b: &Features) -> Result<f64, MetricsError> {
    a.beside(b)?;
    a.at_least(2, "a kernel distance", "set")?;
    b.at_least(2, "a kernel distance", "set")?;
    let d = a.width() as f64;
    let k = |x: &[f32], y: &[f32]| (dot(x, y) / d + 1.0).powi(3);
    let within = |set: &Features| {
        let rows = threads::map(set.len(), |i| (0..i).map(|j| k(set.row(i), set.row(j))).sum::<f64>());
        let n = set.len() as f64;
        rows.iter().sum::<f64>() * 2.0 / (n * (n - 1.0))
    };
    let across = threads::map(a.len(), |i| (0..b.len()).map(|j| k(a.row(i), b.row(j))).sum::<f64>());
    let across = across.iter().sum::<f64>() * 2.0 / (a.len() as f64 * b.len() as f64);
    Ok(within(a) + within(b) - across)
}
