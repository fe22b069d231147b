//! Blur by any kernel, around the edges of the picture (circular).
//!
//! Waves `cas(2 pi (u i / h + v j / w))`, with `cas = cos + sin`, are an orthonormal basis of real images (Hartley's; but for
//! a factor), and a circular convolution maps each to itself and to the wave the other way:
//! with `l` the kernel's discrete Fourier transform,
//!
//! ```text
//! (A x)_k = Re l_k x_k - Im l_k x_-k
//! ```
//!
//! so that its singular values are `|l|` and its singular vectors the waves. Since `cas(a + b) = cas a cos b +
//! cas(-a) sin b`, an image's waves are two products along axes, `C X cos^T + C' X sin^T`.

use super::{Degradation, Matrix, Operator, Spectrum};
use crate::diffusion::Error;
use crate::shape::Shape;
use std::f64::consts::TAU;

/// Waves of which less than this share of the strongest is left count as lost: 8-bit pictures round more.
const CUTOFF: f64 = 0.04;
/// The longest side: waves are dense matrices.
const MOST_SIDE: usize = 1024;

/// A circular convolution of each channel with one kernel.
#[derive(Clone, Debug)]
pub struct Convolution {
    name: String,
    shape: Shape,
    /// Real and imaginary part of the kernel's transform, `[h, w]`.
    transform: Vec<(f64, f64)>,
}

impl Convolution {
    /// By a kernel of `(rows, columns)`, row by row, its middle (rows / 2, columns / 2) on the pixel. Its
    /// sum is made 1.
    ///
    /// # Errors
    /// A kernel larger than the image, or whose numbers are not finite or sum to nothing.
    pub fn new(shape: Shape, (rows, columns): (usize, usize), kernel: &[f64]) -> Result<Convolution, Error> {
        let refuse = |need: String| Err(Error::option("kernel", format!("{rows} x {columns}"), need));
        if shape.h.max(shape.w) > MOST_SIDE {
            return refuse(format!("sides of at most {MOST_SIDE} can be undone, not {shape}"));
        }
        if rows == 0 || columns == 0 || rows > shape.h || columns > shape.w {
            return refuse(format!("it must fit into an image of {} x {}", shape.h, shape.w));
        }
        let sum: f64 = kernel.iter().sum();
        let size: f64 = kernel.iter().map(|k| k.abs()).sum();
        if kernel.len() != rows * columns || !size.is_finite() || sum.abs() <= 1e-6 * size || size == 0.0 {
            return refuse("its numbers must be finite, one a pixel, and not sum to 0".into());
        }
        let at = |i: usize, length: usize, side: usize| (i + side - length / 2) % side;
        let turn = |k: usize, i: usize, side: usize| TAU * ((k * i) % side) as f64 / side as f64;
        // Rows of the kernel first: the sums are short.
        let mut of_rows = vec![(0.0, 0.0); rows * shape.w];
        for (r, row) in kernel.chunks_exact(columns).enumerate() {
            for v in 0..shape.w {
                for (c, k) in row.iter().enumerate() {
                    let (sin, cos) = turn(v, at(c, columns, shape.w), shape.w).sin_cos();
                    let sum = &mut of_rows[r * shape.w + v];
                    *sum = (sum.0 + k * cos, sum.1 - k * sin);
                }
            }
        }
        let one = |i: usize| {
            let (u, v) = (i / shape.w, i % shape.w);
            (0..rows).fold((0.0, 0.0), |(re, im), r| {
                let (sin, cos) = turn(u, at(r, rows, shape.h), shape.h).sin_cos();
                let (a, b) = of_rows[r * shape.w + v];
                (re + a * cos + b * sin, im + b * cos - a * sin)
            })
        };
        let transform = (0..shape.pixels()).map(one).map(|(re, im)| (re / sum, im / sum)).collect();
        Ok(Convolution { name: format!("blur by a kernel of {rows} x {columns}"), shape, transform })
    }

    /// An image's waves, or with `back` those the other way: an orthogonal map that is its own inverse.
    fn waves(&self, back: bool) -> Operator {
        let Shape { h, w, .. } = self.shape;
        let sign = if back { -1.0 } else { 1.0 };
        let along = |n: usize, f: &dyn Fn(f64) -> f64| {
            let scale = 1.0 / (n as f64).sqrt();
            Matrix::new(n, n, |r, c| scale * f(sign * TAU * ((r * c) % n) as f64 / n as f64))
        };
        let part = |rows: &dyn Fn(f64) -> f64, columns: &dyn Fn(f64) -> f64| Operator::Axes {
            from: self.shape,
            rows: Some(along(h, rows)),
            columns: Some(along(w, columns)),
            channels: None,
        };
        Operator::Sum(vec![part(&|a| a.cos() + a.sin(), &f64::cos), part(&|a| a.cos() - a.sin(), &f64::sin)])
    }

    /// The map that takes each wave to `re` of itself and `im` of the wave the other way.
    fn map(&self, part: impl Fn((f64, f64)) -> (f64, f64)) -> Operator {
        let factors: Vec<(f64, f64)> = self.transform.iter().map(|l| part(*l)).collect();
        let diagonal = |pick: &dyn Fn(&(f64, f64)) -> f64| Operator::Diagonal {
            shape: self.shape,
            factors: factors.iter().flat_map(|l| vec![pick(l); self.shape.c]).collect(),
        };
        let chain = |back, diagonal| Operator::Chain(vec![self.waves(back), diagonal]);
        let both = vec![chain(false, diagonal(&|l| l.0)), chain(true, diagonal(&|l| -l.1))];
        Operator::Chain(vec![Operator::Sum(both), self.waves(false)])
    }

    /// `|l|` of each wave, 0 where it counts as lost.
    fn strengths(&self) -> Vec<f64> {
        let all: Vec<f64> = self.transform.iter().map(|(re, im)| re.hypot(*im)).collect();
        let least = CUTOFF * all.iter().copied().fold(0.0, f64::max);
        all.into_iter().map(|s| if s > least { s } else { 0.0 }).collect()
    }
}

impl Degradation for Convolution {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn operator(&self) -> Operator {
        self.map(|l| l)
    }

    fn adjoint(&self) -> Operator {
        self.map(|(re, im)| (re, -im))
    }

    fn pseudo_inverse(&self) -> Operator {
        let strongest = self.strengths().into_iter().fold(0.0, f64::max);
        self.map(|(re, im)| {
            let square = re * re + im * im;
            match square.sqrt() > CUTOFF * strongest {
                true => (re / square, -im / square),
                false => (0.0, 0.0),
            }
        })
    }

    fn spectrum(&self) -> Option<Spectrum> {
        let values = self.strengths().into_iter().flat_map(|s| vec![s; self.shape.c]).collect();
        Some(Spectrum { analysis: self.waves(false), synthesis: self.waves(false), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the sum over the kernel's pixels.
    #[test]
    fn it_is_a_circular_convolution() {
        for (shape, (rows, columns)) in
            [(Shape::new(5, 4, 2), (3, 2)), (Shape::new(8, 8, 1), (8, 8)), (Shape::new(7, 3, 3), (1, 3))]
        {
            let kernel: Vec<f64> = (0..rows * columns).map(|i| 0.3 + (i as f64 * 1.7).sin().abs()).collect();
            let sum: f64 = kernel.iter().sum();
            let x: Vec<f64> = (0..shape.len()).map(|i| (i as f64 * 0.9).cos()).collect();
            let got = Convolution::new(shape, (rows, columns), &kernel).unwrap().operator().apply(&x);
            for (i, got) in got.iter().enumerate() {
                let (r, c, channel) = (i / shape.c / shape.w, i / shape.c % shape.w, i % shape.c);
                let mut want = 0.0;
                for (k, weight) in kernel.iter().enumerate() {
                    let row = (r + shape.h + rows / 2 - k / columns) % shape.h;
                    let column = (c + shape.w + columns / 2 - k % columns) % shape.w;
                    want += weight / sum * x[(row * shape.w + column) * shape.c + channel];
                }
                assert!((got - want).abs() < 1e-12, "{shape} {i}: {got} {want}");
            }
        }
    }
}
