//! What is commonly done about a degradation without a model: linear maps, and what restorations by a model
//! must beat.

use super::{Degradation, Mask, Matrix, Operator};
use crate::diffusion::Error;
use crate::shape::Shape;

/// Wiener's deconvolution, `(A^T A + k)^-1 A^T y` about the mean of `y`, by the singular values of the
/// degradation; `k` is the variance of the noise by that of the picture about its mean.
///
/// The degradation must keep what is the same everywhere, as a blur does.
///
/// # Errors
/// A degradation whose singular vectors are not known or that changes the picture's size, or a ratio that is
/// not positive.
pub fn wiener(degradation: &dyn Degradation, ratio: f64) -> Result<Operator, Error> {
    let (a, name) = (degradation.operator(), degradation.name());
    let Some(spectrum) = degradation.spectrum().filter(|_| a.from() == a.to()) else {
        return Err(Error::option("degradation", name, "Wiener's deconvolution is of a blur"));
    };
    if !(ratio > 0.0 && ratio.is_finite()) {
        return Err(Error::option("ratio", ratio, "choose more than 0"));
    }
    // A^T A is diagonal among the singular vectors: one picture that has 1 of each tells all its values, those
    // among them that the pseudo-inverse leaves out.
    let shape = a.from();
    let one_each = spectrum.synthesis.apply(&vec![1.0; shape.len()]);
    let squares = spectrum.analysis.apply(&degradation.adjoint().apply(&a.apply(&one_each)));
    let factors = squares.iter().map(|s| 1.0 / (s.max(0.0) + ratio)).collect();
    let inverse = Operator::Chain(vec![
        degradation.adjoint(),
        spectrum.analysis,
        Operator::Diagonal { shape, factors },
        spectrum.synthesis,
    ]);
    let share = 1.0 / shape.pixels() as f64;
    let mean = scaled(all_pixels(shape), vec![share; shape.len()]);
    let rest = Operator::Sum(vec![same(shape), scaled(all_pixels(shape), vec![-share; shape.len()])]);
    Ok(Operator::Sum(vec![mean, Operator::Chain(vec![rest, inverse])]))
}

/// A picture made larger by Keys' cubic (a = -1/2), its edges going on; a grey one gets three equal colours where
/// `to` has three. Sides that are the same stay so.
///
/// # Errors
/// Sides that are no multiples, or other channels.
pub fn bicubic(from: Shape, to: Shape) -> Result<Operator, Error> {
    let fits = |small: usize, large: usize| small > 0 && large.is_multiple_of(small);
    if !fits(from.h, to.h) || !fits(from.w, to.w) || !(from.c == to.c || from.c == 1) {
        return Err(Error::option("size", from, format!("it cannot be made {to}")));
    }
    let along = |small: usize, large: usize| {
        let mut rows = vec![vec![0.0; small]; large];
        for (r, row) in rows.iter_mut().enumerate() {
            let at = (r as f64 + 0.5) * small as f64 / large as f64 - 0.5;
            let first = at.floor() as i64 - 1;
            for c in first..first + 4 {
                row[c.clamp(0, small as i64 - 1) as usize] += keys(at - c as f64);
            }
        }
        (small != large).then(|| Matrix::new(large, small, |r, c| rows[r][c]))
    };
    let colours = (from.c != to.c).then(|| Matrix::new(to.c, 1, |_, _| 1.0));
    Ok(Operator::Axes { from, rows: along(from.h, to.h), columns: along(from.w, to.w), channels: colours })
}

/// Keys' cubic interpolation kernel (1981), a = -1/2.
pub(super) fn keys(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// Unknown pixels get the mean of those that are known; 0 where none is.
pub fn mean_fill(mask: &Mask) -> Operator {
    let keep = mask.operator();
    let shape = keep.from();
    let known = keep.apply(&vec![1.0; shape.len()]);
    let count = known.iter().sum::<f64>() / shape.c.max(1) as f64;
    let share = if count > 0.0 { 1.0 / count } else { 0.0 };
    let fill = scaled(all_pixels(shape), known.iter().map(|k| (1.0 - k) * share).collect());
    Operator::Chain(vec![keep, Operator::Sum(vec![same(shape), fill])])
}

/// Every pixel the sum of all, channel by channel.
fn all_pixels(from: Shape) -> Operator {
    let ones = |n: usize| Some(Matrix::new(n, n, |_, _| 1.0));
    Operator::Axes { from, rows: ones(from.h), columns: ones(from.w), channels: None }
}

fn scaled(of: Operator, factors: Vec<f64>) -> Operator {
    let shape = of.to();
    Operator::Chain(vec![of, Operator::Diagonal { shape, factors }])
}

fn same(from: Shape) -> Operator {
    Operator::Axes { from, rows: None, columns: None, channels: None }
}

#[cfg(test)]
mod tests {
    use super::super::{Axes, Convolution};
    use super::*;

    fn numbers(n: usize, seed: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * seed).sin()).collect()
    }

    fn far(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// It solves `(A^T A + k) x = A^T y`, and keeps what is the same everywhere.
    #[test]
    fn wiener_solves_its_equation() {
        let shape = Shape::new(8, 6, 2);
        let kernel: Vec<f64> = (0..15).map(|i| 1.0 + f64::from([5, 1, 0, 2, 7][i % 5])).collect();
        let blurs: [Box<dyn Degradation>; 2] = [
            Box::new(Axes::gaussian_blur(shape, 1.1).unwrap()),
            Box::new(Convolution::new(shape, (3, 5), &kernel).unwrap()),
        ];
        for blur in blurs {
            let k = 0.01;
            let w = wiener(&*blur, k).unwrap();
            assert!(w.is_good());
            let mut y = numbers(shape.len(), 1.3);
            for c in 0..shape.c {
                let mean = y.iter().skip(c).step_by(shape.c).sum::<f64>() / shape.pixels() as f64;
                y.iter_mut().skip(c).step_by(shape.c).for_each(|v| *v -= mean);
            }
            let x = w.apply(&y);
            let again = blur.adjoint().apply(&blur.operator().apply(&x));
            let left: Vec<f64> = again.iter().zip(&x).map(|(a, x)| a + k * x).collect();
            assert!(far(&left, &blur.adjoint().apply(&y)) < 1e-10, "{}", blur.name());
            assert!(far(&w.apply(&vec![0.7; shape.len()]), &vec![0.7; shape.len()]) < 1e-10);
        }
        let blur = Axes::gaussian_blur(shape, 1.0).unwrap();
        assert!(wiener(&blur, 0.0).unwrap_err().to_string().contains("ratio"));
        let smaller = Axes::average(shape, 2).unwrap();
        assert!(wiener(&smaller, 0.1).unwrap_err().to_string().contains("blur"));
    }

    /// A ramp stays a ramp away from the edges, and what is the same everywhere stays so.
    #[test]
    fn bicubic_keeps_ramps() {
        let (from, to) = (Shape::new(6, 8, 1), Shape::new(12, 24, 3));
        let a = bicubic(from, to).unwrap();
        assert!(a.is_good() && a.to() == to);
        let ramp: Vec<f64> = (0..48).map(|i| (i % 8) as f64 + 0.5).collect();
        let large = a.apply(&ramp);
        for column in 6..18 {
            let want = (column as f64 + 0.5) / 3.0;
            let at = 5 * 24 * 3 + column * 3;
            assert!(far(&large[at..at + 3], &[want; 3]) < 1e-12, "{column}");
        }
        assert!(far(&a.apply(&[0.3; 48]), &vec![0.3; to.len()]) < 1e-12);
        assert!(bicubic(from, Shape::new(13, 24, 1)).unwrap_err().to_string().contains("size"));
        assert!(bicubic(Shape::new(2, 2, 3), Shape::new(4, 4, 1)).is_err());
    }

    #[test]
    fn holes_get_the_mean() {
        let shape = Shape::new(2, 2, 2);
        let mask = Mask::new(shape, &[true, false, true, true]).unwrap();
        let fill = mean_fill(&mask);
        assert!(fill.is_good());
        let filled = fill.apply(&[1.0, 10.0, 9.0, 90.0, 2.0, 20.0, 6.0, 60.0]);
        assert!(far(&filled, &[1.0, 10.0, 3.0, 30.0, 2.0, 20.0, 6.0, 60.0]) < 1e-12);
        let nothing = mean_fill(&Mask::new(shape, &[false; 4]).unwrap());
        assert_eq!(nothing.apply(&[1.0; 8]), [0.0; 8]);
    }
}
