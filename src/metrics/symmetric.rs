//! Symmetric matrices and their eigenvalues, f64.

use super::{threads, MetricsError};

/// Steps that an eigenvalue may take; a few are usual.
const STEPS: usize = 100;

/// A symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Symmetric {
    n: usize,
    /// `[n, n]`, both halves.
    values: Vec<f64>,
}

/// `A = V diag(values) V^T`.
struct Eigen {
    values: Vec<f64>,
    /// An eigenvector in each row; empty where none were asked for.
    vectors: Vec<Vec<f64>>,
}

impl Symmetric {
    /// From `[n, n]` numbers, whose halves are averaged.
    ///
    /// # Errors
    /// Another number of numbers, numbers that are not finite, or halves that differ by more
    /// than rounding.
    pub fn new(set: &str, n: usize, values: Vec<f64>) -> Result<Symmetric, MetricsError> {
        let wrong = |what: String| MetricsError::Statistics { set: set.into(), what };
        if n == 0 || n.checked_mul(n) != Some(values.len()) {
            return Err(wrong(format!("{} numbers are no covariance of {n} features", values.len())));
        }
        if values.iter().any(|v| !v.is_finite()) {
            return Err(wrong("an entry of the covariance is NaN or infinite".into()));
        }
        let largest = values.iter().fold(0f64, |m, v| m.max(v.abs()));
        let mut matrix = Symmetric { n, values };
        for i in 0..n {
            for j in 0..i {
                let (a, b) = (matrix.at(i, j), matrix.at(j, i));
                if (a - b).abs() > 1e-6 * largest {
                    return Err(wrong(format!("the covariance is not symmetric at {i}, {j}: {a} and {b}")));
                }
                let mean = 0.5 * a + 0.5 * b;
                matrix.values[i * n + j] = mean;
                matrix.values[j * n + i] = mean;
            }
        }
        Ok(matrix)
    }

    /// From its lower half: `f(i, j)` for `j <= i`, on all cores.
    pub(super) fn of(n: usize, f: impl Fn(usize, usize) -> f64 + Sync) -> Symmetric {
        let rows = threads::map(n, |i| (0..=i).map(|j| f(i, j)).collect::<Vec<f64>>());
        let mut values = vec![0.0; n * n];
        for (i, row) in rows.iter().enumerate() {
            for (j, v) in row.iter().enumerate() {
                values[i * n + j] = *v;
                values[j * n + i] = *v;
            }
        }
        Symmetric { n, values }
    }

    /// Rows, and columns.
    pub fn rows(&self) -> usize {
        self.n
    }

    /// All entries, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// An entry.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.n + j]
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.n..(i + 1) * self.n]
    }

    /// The sum of the diagonal.
    pub fn trace(&self) -> f64 {
        (0..self.n).map(|i| self.at(i, i)).sum()
    }

    /// The positive root of a matrix whose eigenvalues are not negative; those that rounding made
    /// negative count as 0.
    ///
    /// # Errors
    /// [`MetricsError::NoConvergence`].
    pub fn sqrt(&self) -> Result<Symmetric, MetricsError> {
        let eigen = self.eigen(true)?;
        let n = self.n;
        let roots: Vec<f64> = eigen.values.iter().map(|v| v.max(0.0).sqrt().sqrt()).collect();
        // Columns of V diag(values^(1/4)): their products are the root's entries.
        let columns: Vec<Vec<f64>> =
            (0..n).map(|i| (0..n).map(|k| eigen.vectors[k][i] * roots[k]).collect()).collect();
        Ok(Symmetric::of(n, |i, j| dot(&columns[i], &columns[j])))
    }

    /// `A B A`, of one size.
    pub(super) fn sandwich(&self, inner: &Symmetric) -> Symmetric {
        let n = self.n;
        let ab: Vec<Vec<f64>> = threads::map(n, |i| (0..n).map(|j| dot(self.row(i), inner.row(j))).collect());
        Symmetric::of(n, |i, j| dot(&ab[i], self.row(j)))
    }

    /// The eigenvalues, in no order.
    ///
    /// # Errors
    /// [`MetricsError::NoConvergence`].
    pub fn eigenvalues(&self) -> Result<Vec<f64>, MetricsError> {
        Ok(self.eigen(false)?.values)
    }

    /// Householder's reflections to a tridiagonal matrix, then implicit QL (Golub and Van Loan, Matrix
    /// Computations, 8.3; Bowdler et al. 1968).
    fn eigen(&self, vectors: bool) -> Result<Eigen, MetricsError> {
        let n = self.n;
        let mut a: Vec<Vec<f64>> = (0..n).map(|i| self.row(i).to_vec()).collect();
        let (mut diagonal, mut off) = (vec![0.0; n], vec![0.0; n]);
        let mut reflections: Vec<(Vec<f64>, f64)> = Vec::new();
        for k in 0..n.saturating_sub(2) {
            let mut v: Vec<f64> = a[k][k + 1..].to_vec();
            // Scaled, so that squares neither overflow nor vanish.
            let largest = v.iter().fold(0f64, |m, x| m.max(x.abs()));
            let mut beta = 0.0;
            off[k] = v[0];
            if largest > 0.0 && v[1..].iter().any(|x| *x != 0.0) {
                v.iter_mut().for_each(|x| *x /= largest);
                let norm = dot(&v, &v).sqrt();
                let alpha = -norm.copysign(v[0]);
                off[k] = alpha * largest;
                v[0] -= alpha;
                beta = 2.0 / dot(&v, &v);
                let rest = &a[k + 1..];
                let mut p: Vec<f64> = threads::map(v.len(), |i| beta * dot(&rest[i][k + 1..], &v));
                let half = 0.5 * beta * dot(&p, &v);
                p.iter_mut().zip(&v).for_each(|(p, v)| *p -= half * v);
                for (i, row) in a[k + 1..].iter_mut().enumerate() {
                    for ((x, pj), vj) in row[k + 1..].iter_mut().zip(&p).zip(&v) {
                        *x -= v[i] * pj + p[i] * vj;
                    }
                }
            }
            if vectors {
                reflections.push((v, beta));
            }
        }
        for (k, d) in diagonal.iter_mut().enumerate() {
            *d = a[k][k];
        }
        if n > 1 {
            off[n - 2] = a[n - 2][n - 1];
        }
        let mut q = Vec::new();
        if vectors {
            q = joined(n, &reflections);
        }
        ql(&mut diagonal, &mut off, &mut q).map_err(|()| MetricsError::NoConvergence { width: n })?;
        Ok(Eigen { values: diagonal, vectors: q })
    }
}

/// The transposed product of the reflections.
fn joined(n: usize, reflections: &[(Vec<f64>, f64)]) -> Vec<Vec<f64>> {
    let mut q: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for (k, (v, beta)) in reflections.iter().enumerate().rev() {
        let mut w = vec![0.0; n - k - 1];
        for (row, vi) in q[k + 1..].iter().zip(v) {
            w.iter_mut().zip(&row[k + 1..]).for_each(|(w, x)| *w += vi * x);
        }
        for (row, vi) in q[k + 1..].iter_mut().zip(v) {
            row[k + 1..].iter_mut().zip(&w).for_each(|(x, w)| *x -= beta * vi * w);
        }
    }
    (0..n).map(|i| (0..n).map(|j| q[j][i]).collect()).collect()
}

/// Eigenvalues of a tridiagonal matrix into its diagonal; the rows of `z` turn with them.
fn ql(d: &mut [f64], e: &mut [f64], z: &mut [Vec<f64>]) -> Result<(), ()> {
    let n = d.len();
    for l in 0..n {
        let mut steps = 0;
        loop {
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let m = (l..n - 1).find(|m| small(*m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            steps += 1;
            if steps > STEPS {
                return Err(());
            }
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut g = d[m] - d[l] + e[l] / (g + g.hypot(1.0).copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    split = true;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
                if let Some([low, high]) = z.get_mut(i..i + 2) {
                    for (x, y) in low.iter_mut().zip(high) {
                        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                    }
                }
            }
            if !split {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    Ok(())
}

/// The dot product, in eight sums.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0f64; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}
