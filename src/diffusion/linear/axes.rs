//! Degradations that are a matrix along each axis: smaller pictures, blur, grey.

use super::plain::keys;
use super::{Degradation, Matrix, Operator, Spectrum};
use crate::diffusion::Error;
use crate::shape::Shape;

/// The longest side: decompositions take its cube.
const MOST_SIDE: usize = 1024;

/// A matrix along rows, columns and channels, each where there is one.
#[derive(Clone, Debug)]
pub struct Axes {
    name: String,
    from: Shape,
    rows: Option<Matrix>,
    columns: Option<Matrix>,
    channels: Option<Matrix>,
    /// Singular values below this share of an axis's largest count as nothing.
    cutoff: f64,
}

/// Of matrices whose singular values are all of one size: what f32 can tell from 0.
const EXACT: f64 = 1e-4;
/// Of a blur: waves of which less is left along an axis are lost in the roundings of 8-bit pictures.
const BLURRED: f64 = 0.2;

impl Axes {
    /// The mean of `scale` x `scale` pixels.
    ///
    /// # Errors
    /// A scale that does not divide the sides.
    pub fn average(shape: Shape, scale: usize) -> Result<Axes, Error> {
        let along = |n: usize| {
            Matrix::new(n / scale, n, |r, c| if c / scale == r { 1.0 / scale as f64 } else { 0.0 })
        };
        Self::smaller(format!("average of {scale} x {scale}"), shape, scale, along)
    }

    /// Keys' cubic (a = -1/2), `scale` times wider, as pictures are commonly made smaller; beyond the
    /// edge its last pixel goes on.
    ///
    /// # Errors
    /// A scale that does not divide the sides.
    pub fn bicubic(shape: Shape, scale: usize) -> Result<Axes, Error> {
        let along = |n: usize| {
            let middle = |r: usize| (r as f64 + 0.5) * scale as f64 - 0.5;
            let reach = 2 * scale as i64 + 1;
            let mut rows = vec![vec![0.0; n]; n / scale];
            for (r, row) in rows.iter_mut().enumerate() {
                let at = middle(r).floor() as i64;
                for c in at - reach..=at + reach {
                    let weight = keys((c as f64 - middle(r)) / scale as f64);
                    row[c.clamp(0, n as i64 - 1) as usize] += weight;
                }
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|w| *w /= sum);
            }
            Matrix::new(n / scale, n, |r, c| rows[r][c])
        };
        Self::smaller(format!("bicubic, {scale} times smaller"), shape, scale, along)
    }

    fn smaller(
        name: String,
        from: Shape,
        scale: usize,
        along: impl Fn(usize) -> Matrix,
    ) -> Result<Axes, Error> {
        check(from)?;
        if scale == 0 || !from.h.is_multiple_of(scale) || !from.w.is_multiple_of(scale) {
            let need = format!("it must divide the sides of an image of {} x {}", from.h, from.w);
            return Err(Error::option("scale", scale, need));
        }
        Ok(Axes {
            name,
            from,
            rows: Some(along(from.h)),
            columns: Some(along(from.w)),
            channels: None,
            cutoff: EXACT,
        })
    }

    /// The mean of red, green and blue.
    ///
    /// # Errors
    /// Images without colours.
    pub fn grey(shape: Shape) -> Result<Axes, Error> {
        check(shape)?;
        if shape.c != 3 {
            let need = "pictures of three colours are wanted";
            return Err(Error::option("channels", shape.c, need));
        }
        let mean = Matrix::new(1, 3, |_, _| 1.0 / 3.0);
        Ok(Axes {
            name: "grey".into(),
            from: shape,
            rows: None,
            columns: None,
            channels: Some(mean),
            cutoff: EXACT,
        })
    }

    /// A Gaussian of this deviation in pixels, around the edges (circular). Its pseudo-inverse leaves out
    /// waves of which less than a fifth is left along an axis.
    ///
    /// # Errors
    /// A deviation that is not positive or as wide as the image.
    pub fn gaussian_blur(shape: Shape, deviation: f64) -> Result<Axes, Error> {
        check(shape)?;
        if !(deviation > 0.0 && deviation <= shape.h.min(shape.w) as f64 / 2.0) {
            let need = format!("choose more than 0, at most half a side of {} x {}", shape.h, shape.w);
            return Err(Error::option("deviation", deviation, need));
        }
        let along = |n: usize| {
            let weight = |d: usize| {
                // The image repeats: so does the bell.
                (-3i32..=3)
                    .map(|k| (d as f64 + f64::from(k) * n as f64) / deviation)
                    .map(|x| (-0.5 * x * x).exp())
                    .sum::<f64>()
            };
            let whole: f64 = (0..n).map(weight).sum();
            Matrix::new(n, n, |r, c| weight((r + n - c) % n) / whole)
        };
        let name = format!("blur of deviation {deviation}");
        Ok(Axes {
            name,
            from: shape,
            rows: Some(along(shape.h)),
            columns: Some(along(shape.w)),
            channels: None,
            cutoff: BLURRED,
        })
    }

    /// This, and then another that takes what this leaves.
    ///
    /// # Errors
    /// Another shape.
    pub fn then(self, next: Axes) -> Result<Axes, Error> {
        let left = self.operator().to();
        if left != next.from {
            let need = format!("{} leaves images of {left}", self.name);
            return Err(Error::option("degradation", format!("{} of {}", next.name, next.from), need));
        }
        let both = |a: Option<Matrix>, b: Option<Matrix>| match (a, b) {
            (Some(a), Some(b)) => Some(b.times(&a)),
            (a, b) => a.or(b),
        };
        Ok(Axes {
            name: format!("{}, {}", self.name, next.name),
            from: self.from,
            rows: both(self.rows, next.rows),
            columns: both(self.columns, next.columns),
            channels: both(self.channels, next.channels),
            cutoff: self.cutoff.max(next.cutoff),
        })
    }

    fn each(&self, f: impl Fn(&Matrix) -> Matrix) -> [Option<Matrix>; 3] {
        [&self.rows, &self.columns, &self.channels].map(|m| m.as_ref().map(&f))
    }
}

fn check(shape: Shape) -> Result<(), Error> {
    match shape.h.max(shape.w) <= MOST_SIDE {
        true => Ok(()),
        false => Err(Error::option("size", shape, format!("sides of at most {MOST_SIDE} can be undone"))),
    }
}

impl Degradation for Axes {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn operator(&self) -> Operator {
        let [rows, columns, channels] = self.each(Matrix::clone);
        Operator::Axes { from: self.from, rows, columns, channels }
    }

    fn adjoint(&self) -> Operator {
        let [rows, columns, channels] = self.each(Matrix::transposed);
        Operator::Axes { from: self.operator().to(), rows, columns, channels }
    }

    /// The pseudo-inverse of a product along axes is the product of theirs.
    fn pseudo_inverse(&self) -> Operator {
        let [rows, columns, channels] = self.each(|m| m.pseudo_inverse(self.cutoff));
        Operator::Axes { from: self.operator().to(), rows, columns, channels }
    }

    /// The singular vectors of a product along axes are the products of theirs.
    fn spectrum(&self) -> Option<Spectrum> {
        let bases = [&self.rows, &self.columns, &self.channels]
            .map(|m| m.as_ref().map(|m| m.right_basis(self.cutoff)));
        let sides = [self.from.h, self.from.w, self.from.c];
        let value = |axis: usize, i: usize| bases[axis].as_ref().map_or(1.0, |(_, values)| values[i]);
        let [h, w, c] = sides;
        let at = |i: usize| [i / (w * c), i / c % w, i % c];
        let values =
            (0..h * w * c).map(|i| at(i).iter().enumerate().map(|(axis, k)| value(axis, *k)).product());
        let values = values.collect();
        let of = |f: &dyn Fn(&Matrix) -> Matrix| {
            let [rows, columns, channels] =
                [0, 1, 2].map(|axis: usize| bases[axis].as_ref().map(|(v, _)| f(v)));
            Operator::Axes { from: self.from, rows, columns, channels }
        };
        Some(Spectrum { analysis: of(&Matrix::transposed), synthesis: of(&Matrix::clone), values })
    }
}
