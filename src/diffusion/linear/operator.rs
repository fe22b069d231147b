//! Linear maps of images, in parts that the host and the GPU both have.

use super::Matrix;
use crate::shape::Shape;

/// What a map of no parts is of: it is not good.
const NOTHING: Shape = Shape::new(0, 0, 0);

/// A linear map of images.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Each number times its own factor.
    Diagonal {
        /// Of the image.
        shape: Shape,
        /// `[h, w, c]`.
        factors: Vec<f64>,
    },
    /// A matrix along each axis; `None` leaves an axis as it is.
    Axes {
        /// Of the argument.
        from: Shape,
        /// Along the height.
        rows: Option<Matrix>,
        /// Along the width.
        columns: Option<Matrix>,
        /// Along the channels.
        channels: Option<Matrix>,
    },
    /// One after the other, the first first.
    Chain(Vec<Operator>),
    /// The sum of what each makes of the same image.
    Sum(Vec<Operator>),
}

impl Operator {
    /// The shape of its argument.
    pub fn from(&self) -> Shape {
        match self {
            Operator::Diagonal { shape, .. } => *shape,
            Operator::Axes { from, .. } => *from,
            Operator::Chain(parts) | Operator::Sum(parts) => parts.first().map_or(NOTHING, Operator::from),
        }
    }

    /// The shape of its result.
    pub fn to(&self) -> Shape {
        match self {
            Operator::Diagonal { shape, .. } => *shape,
            Operator::Axes { from, rows, columns, channels } => Shape::new(
                rows.as_ref().map_or(from.h, Matrix::rows),
                columns.as_ref().map_or(from.w, Matrix::rows),
                channels.as_ref().map_or(from.c, Matrix::rows),
            ),
            Operator::Chain(parts) | Operator::Sum(parts) => parts.last().map_or(NOTHING, Operator::to),
        }
    }

    /// Whether its parts fit each other and its numbers are finite.
    pub(crate) fn is_good(&self) -> bool {
        match self {
            Operator::Diagonal { shape, factors } => {
                Some(factors.len()) == shape.checked_len() && factors.iter().all(|f| f.is_finite())
            }
            Operator::Axes { from, rows, columns, channels } => {
                let fits = |m: &Option<Matrix>, n: usize| {
                    m.as_ref().is_none_or(|m| {
                        m.columns() == n && m.rows() > 0 && m.values().iter().all(|v| v.is_finite())
                    })
                };
                from.checked_len().is_some()
                    && fits(rows, from.h)
                    && fits(columns, from.w)
                    && fits(channels, from.c)
            }
            Operator::Chain(parts) => {
                let joined = parts.windows(2).all(|pair| pair[0].to() == pair[1].from());
                !parts.is_empty() && joined && parts.iter().all(Operator::is_good)
            }
            Operator::Sum(parts) => {
                let same = parts.iter().all(|p| (p.from(), p.to()) == (self.from(), self.to()));
                !parts.is_empty() && same && parts.iter().all(Operator::is_good)
            }
        }
    }

    /// The result for one image, NHWC.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Operator::Diagonal { factors, .. } => x.iter().zip(factors).map(|(x, f)| x * f).collect(),
            Operator::Axes { .. } => {
                let mut x = x.to_vec();
                for along in self.passes() {
                    x = along.apply(&x);
                }
                x
            }
            Operator::Chain(parts) => parts.iter().fold(x.to_vec(), |x, part| part.apply(&x)),
            Operator::Sum(parts) => {
                let mut sum = vec![0.0; self.to().len()];
                for part in parts {
                    sum.iter_mut().zip(part.apply(x)).for_each(|(sum, y)| *sum += y);
                }
                sum
            }
        }
    }

    /// The products along axes in the order in which they are made; none of another kind.
    pub(crate) fn passes(&self) -> Vec<Along<'_>> {
        let Operator::Axes { from, rows, columns, channels } = self else { return Vec::new() };
        let mut shape = *from;
        let mut list = Vec::new();
        if let Some(matrix) = columns {
            list.push(Along { matrix, outer: shape.h, inner: shape.c });
            shape.w = matrix.rows();
        }
        if let Some(matrix) = rows {
            list.push(Along { matrix, outer: 1, inner: shape.w * shape.c });
            shape.h = matrix.rows();
        }
        if let Some(matrix) = channels {
            list.push(Along { matrix, outer: shape.h * shape.w, inner: 1 });
        }
        list
    }
}

/// A product along one axis of `[outer, matrix.columns, inner]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Along<'a> {
    pub matrix: &'a Matrix,
    pub outer: usize,
    pub inner: usize,
}

impl Along<'_> {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let (m, inner) = (self.matrix, self.inner);
        let mut out = Vec::with_capacity(self.outer * m.rows() * inner);
        for block in x.chunks_exact(m.columns() * inner) {
            for r in 0..m.rows() {
                out.extend(
                    (0..inner)
                        .map(|i| (0..m.columns()).map(|c| m.at(r, c) * block[c * inner + i]).sum::<f64>()),
                );
            }
        }
        out
    }
}
