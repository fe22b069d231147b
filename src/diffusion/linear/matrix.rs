//! Small dense matrices, f64: along one axis of an image.

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

/// `A = U diag(s) V^T`, thin: as many singular values as the shorter side has, descending.
#[derive(Clone, Debug)]
pub struct Svd {
    /// Left singular vectors, in columns.
    pub u: Matrix,
    /// Singular values.
    pub s: Vec<f64>,
    /// Right singular vectors, in columns.
    pub v: Matrix,
}

/// Sweeps after which Jacobi's method has converged for any matrix of doubles.
const SWEEPS: usize = 60;

impl Matrix {
    /// From its entries.
    pub fn new(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f64) -> Matrix {
        let values = (0..rows * columns).map(|i| f(i / columns, i % columns)).collect();
        Matrix { rows, columns, values }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All entries, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// An entry.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.columns + column]
    }

    /// Rows as columns.
    pub fn transposed(&self) -> Matrix {
        Matrix::new(self.columns, self.rows, |r, c| self.at(c, r))
    }

    /// The product; `self.columns` must be `other.rows`.
    pub fn times(&self, other: &Matrix) -> Matrix {
        Matrix::new(self.rows, other.columns, |r, c| {
            (0..self.columns).map(|k| self.at(r, k) * other.at(k, c)).sum()
        })
    }

    /// The singular value decomposition, by one-sided Jacobi rotations (Golub & Van Loan, Matrix
    /// Computations, 8.6.3).
    pub fn svd(&self) -> Svd {
        if self.rows < self.columns {
            let Svd { u, s, v } = self.transposed().svd();
            return Svd { u: v, s, v: u };
        }
        let (m, n) = (self.rows, self.columns);
        // Columns are rotated until they are at right angles.
        let mut a: Vec<Vec<f64>> = (0..n).map(|c| (0..m).map(|r| self.at(r, c)).collect()).collect();
        let mut v: Vec<Vec<f64>> =
            (0..n).map(|c| (0..n).map(|r| f64::from(u8::from(r == c))).collect()).collect();
        for _ in 0..SWEEPS {
            let mut turned = false;
            for p in 0..n {
                for q in p + 1..n {
                    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
                    let (pp, qq, pq) = (dot(&a[p], &a[p]), dot(&a[q], &a[q]), dot(&a[p], &a[q]));
                    if pq.abs() <= 1e-15 * (pp * qq).sqrt() || pq == 0.0 {
                        continue;
                    }
                    turned = true;
                    let zeta = (qq - pp) / (2.0 * pq);
                    let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                    let t = if zeta == 0.0 { 1.0 } else { t };
                    let (c, s) = (1.0 / t.hypot(1.0), t / t.hypot(1.0));
                    for list in [&mut a, &mut v] {
                        for i in 0..list[p].len() {
                            let (x, y) = (list[p][i], list[q][i]);
                            (list[p][i], list[q][i]) = (c * x - s * y, s * x + c * y);
                        }
                    }
                }
            }
            if !turned {
                break;
            }
        }
        let norms: Vec<f64> = a.iter().map(|c| c.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|x, y| norms[*y].total_cmp(&norms[*x]));
        // A column of nothing has no direction: 0 keeps products right.
        let unit = |r: usize, c: usize| if norms[c] > 0.0 { a[c][r] / norms[c] } else { 0.0 };
        Svd {
            u: Matrix::new(m, n, |r, c| unit(r, order[c])),
            s: order.iter().map(|i| norms[*i]).collect(),
            v: Matrix::new(n, n, |r, c| v[order[c]][r]),
        }
    }

    /// All right singular vectors in columns, those of no singular value among them, and the value of
    /// each; below `cutoff` times the largest it is 0.
    pub fn right_basis(&self, cutoff: f64) -> (Matrix, Vec<f64>) {
        let (n, Svd { s, v, .. }) = (self.columns, self.svd());
        let least = cutoff.max(1e-12) * s.first().copied().unwrap_or(0.0);
        let column = |c: usize| (0..n).map(|r| v.at(r, c)).collect::<Vec<f64>>();
        // A value of nothing may have no vector.
        let good = |c: &usize| s[*c] > least || column(*c).iter().map(|x| x * x).sum::<f64>() > 0.5;
        let kept: Vec<usize> = (0..s.len()).filter(good).collect();
        let mut basis: Vec<Vec<f64>> = kept.iter().map(|c| column(*c)).collect();
        let mut values: Vec<f64> = kept.iter().map(|c| if s[*c] > least { s[*c] } else { 0.0 }).collect();
        // The rest by Gram and Schmidt from the axes, each twice, which is enough for rounding.
        for axis in 0..n {
            if basis.len() == n {
                break;
            }
            let mut unit: Vec<f64> = (0..n).map(|r| f64::from(u8::from(r == axis))).collect();
            for _ in 0..2 {
                for b in &basis {
                    let dot: f64 = unit.iter().zip(b).map(|(x, y)| x * y).sum();
                    unit.iter_mut().zip(b).for_each(|(x, y)| *x -= dot * y);
                }
            }
            let norm = unit.iter().map(|x| x * x).sum::<f64>().sqrt();
            // The sum of these over all axes is the number of vectors that are missing.
            if norm * norm > 0.5 / n as f64 {
                basis.push(unit.iter().map(|x| x / norm).collect());
                values.push(0.0);
            }
        }
        (Matrix::new(n, n, |r, c| basis[c][r]), values)
    }

    /// The Moore-Penrose pseudo-inverse; singular values below `cutoff` times the largest
    /// count as 0.
    pub fn pseudo_inverse(&self, cutoff: f64) -> Matrix {
        let Svd { u, s, v } = self.svd();
        let least = cutoff * s.first().copied().unwrap_or(0.0);
        let inverse: Vec<f64> = s.iter().map(|s| if *s > least { 1.0 / s } else { 0.0 }).collect();
        Matrix::new(self.columns, self.rows, |r, c| {
            inverse.iter().enumerate().map(|(k, i)| v.at(r, k) * i * u.at(c, k)).sum()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(rows: usize, columns: usize, seed: f64) -> Matrix {
        Matrix::new(rows, columns, |r, c| ((r * 7 + c * 3) as f64 * seed).sin())
    }

    fn far(a: &Matrix, b: &Matrix) -> f64 {
        assert_eq!((a.rows, a.columns), (b.rows, b.columns));
        a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn decompositions_make_the_matrix() {
        for (rows, columns) in [(1, 1), (4, 4), (3, 7), (9, 2), (32, 32), (8, 32)] {
            let a = random(rows, columns, 1.3);
            let Svd { u, s, v } = a.svd();
            assert!(s.windows(2).all(|p| p[0] >= p[1]) && s.iter().all(|s| *s >= 0.0));
            let scaled = Matrix::new(u.rows, u.columns, |r, c| u.at(r, c) * s[c]);
            assert!(far(&scaled.times(&v.transposed()), &a) < 1e-12, "{rows} x {columns}");
        }
    }

    #[test]
    fn bases_are_whole() {
        let low = random(6, 2, 0.7).times(&random(2, 5, 1.1));
        let mean = Matrix::new(4, 16, |r, c| if c / 4 == r { 0.25 } else { 0.0 });
        for a in [random(3, 5, 1.3), random(5, 3, 2.1), low, mean, Matrix::new(1, 3, |_, _| 1.0 / 3.0)] {
            let (v, s) = a.right_basis(1e-10);
            let n = a.columns;
            assert!(
                far(&v.transposed().times(&v), &Matrix::new(n, n, |r, c| f64::from(u8::from(r == c))))
                    < 1e-12
            );
            let seen = a.times(&v);
            for (c, s) in s.iter().enumerate() {
                let norm = (0..a.rows).map(|r| seen.at(r, c).powi(2)).sum::<f64>().sqrt();
                assert!((norm - s).abs() < 1e-12, "{c}: {norm} {s}");
            }
        }
    }

    /// The four conditions of Penrose, also where the rank is lower than both sides.
    #[test]
    fn pseudo_inverses_keep_the_rules() {
        let low = random(6, 2, 0.7).times(&random(2, 5, 1.1));
        for a in [random(3, 5, 1.3), random(5, 3, 2.1), low] {
            let p = a.pseudo_inverse(1e-10);
            let (ap, pa) = (a.times(&p), p.times(&a));
            assert!(far(&ap.times(&a), &a) < 1e-10);
            assert!(far(&pa.times(&p), &p) < 1e-9);
            assert!(far(&ap, &ap.transposed()) < 1e-10 && far(&pa, &pa.transposed()) < 1e-10);
        }
    }
}
