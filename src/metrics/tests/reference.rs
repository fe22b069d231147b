//! torch-fidelity 0.4.0 and prdc 0.2 on features made by the same formula: `tests/metrics/reference.py`
//! printed these.

use super::*;

/// What the references say of a pair of sets.
struct Case {
    reference: Features,
    generated: Features,
    k: usize,
    frechet: f64,
    /// How near our distance is: theirs takes the roots of eigenvalues that are 0 but for rounding
    /// where pictures are fewer than features.
    within: f64,
    /// The discrepancy of as many rows as both have.
    kernel: f64,
    /// Mean and standard deviation over runs of 50 rows.
    subsets: (f64, f64),
    manifold: Manifold,
}

fn cases() -> [Case; 3] {
    [
        Case {
            reference: features(1, 300, 24, 1.0, 0.0),
            generated: features(2, 240, 24, 1.1, 0.05),
            k: 5,
            frechet: 0.6621977219110846,
            within: 1e-10,
            kernel: 0.01114984600574731,
            subsets: (0.008584281373576086, 0.019130024732149115),
            manifold: Manifold {
                precision: 0.7708333333333334,
                recall: 0.97,
                density: 0.5058333333333334,
                coverage: 0.79,
            },
        },
        Case {
            reference: features(3, 200, 7, 1.0, 0.0),
            generated: features(4, 200, 7, 0.6, 0.7),
            k: 3,
            frechet: 4.240107692579995,
            within: 1e-10,
            kernel: 2.3718821022390233,
            subsets: (2.3652709476553504, 0.19209914488053154),
            manifold: Manifold { precision: 0.805, recall: 0.175, density: 0.74, coverage: 0.275 },
        },
        Case {
            reference: features(5, 60, 80, 1.0, 0.0),
            generated: features(6, 50, 80, 0.9, 0.0),
            k: 4,
            frechet: 19.97035537305505,
            within: 1e-6,
            kernel: 0.002495374619397861,
            subsets: (0.002495374619397861, 0.0),
            manifold: Manifold { precision: 0.94, recall: 0.5, density: 2.27, coverage: 1.0 },
        },
    ]
}

#[test]
fn frechet_distances_are_those_of_torch_fidelity() {
    for c in cases() {
        let (a, b) = (moments(&c.reference), moments(&c.generated));
        near(frechet_distance(&a, &b).unwrap(), c.frechet, c.within);
        near(frechet_distance(&b, &a).unwrap(), c.frechet, c.within);
    }
}

#[test]
fn kernel_distances_are_those_of_torch_fidelity() {
    for c in cases() {
        let (a, b) = (&c.reference, &c.generated);
        let n = a.len().min(b.len());
        // Differences of large sums.
        let options = KernelOptions { subsets: 3, subset_size: 1000, seed: 1 };
        let whole = kernel_distance(a, &b.select(&(0..n).collect::<Vec<_>>()), options).unwrap();
        assert_eq!((whole.subsets, whole.subset_size), (3, n));
        let first: Vec<usize> = (0..n).collect();
        near(kernel::discrepancy(&a.select(&first), &b.select(&first)).unwrap(), c.kernel, 1e-9);
        let runs = (0..=n - 50).step_by(25).map(|s| ((s..s + 50).collect(), (s..s + 50).collect()));
        let found = kernel::over(a, b, 50, runs).unwrap();
        near(found.mean, c.subsets.0, 1e-9);
        assert!((found.std - c.subsets.1).abs() < 1e-11, "{} is not {}", found.std, c.subsets.1);
    }
}

#[test]
fn manifolds_are_those_of_prdc() {
    for c in cases() {
        let found = manifold(&c.reference, &c.generated, c.k).unwrap();
        near(found.precision, c.manifold.precision, 1e-12);
        near(found.recall, c.manifold.recall, 1e-12);
        near(found.density, c.manifold.density, 1e-12);
        near(found.coverage, c.manifold.coverage, 1e-12);
    }
}
