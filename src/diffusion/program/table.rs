//! Functions of time as tables of piecewise cubics.
//!
//! Where the GPU chooses a time itself, what depends on it cannot be computed
//! beforehand, and shaders have no f64. So functions of time are tabled here in f64:
//! each piece is the cubic through four Chebyshev points, and pieces are halved until
//! the cubic is as near as asked for. Pieces thus crowd where the function bends.

/// A function of one number as cubics between knots: in piece i, with
/// `s = (at - knots[i]) / (knots[i + 1] - knots[i])`, the value is
/// `c0 + s (c1 + s (c2 + s c3))`. Beyond its ends it has the ends' values.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Table {
    /// For messages.
    pub name: String,
    /// The ends of the pieces, ascending: one more than cubics.
    pub knots: Vec<f64>,
    /// `[c0, c1, c2, c3]` of each piece.
    pub cubics: Vec<[f64; 4]>,
}

/// Why a function cannot be tabled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the table {name} is not within {bound:e} of its function at {at}: the function is not smooth there")]
pub struct TableError {
    /// The table's name.
    pub name: String,
    /// The relative error asked for.
    pub bound: f64,
    /// Where.
    pub at: f64,
}

/// The relative error of tables, before they are rounded to f32: with it they are
/// within 5e-7 in all.
pub const BOUND: f64 = 1.5e-7;
/// Pieces of a table at most.
const MOST: usize = 1 << 18;
/// The points at which a piece is fitted and those at which it is tested (with both ends).
const FITTED: usize = 4;
const TESTED: usize = 9;

impl Table {
    /// A table of equal pieces.
    pub fn uniform(name: &str, start: f64, step: f64, cubics: Vec<[f64; 4]>) -> Self {
        let knots = (0..=cubics.len()).map(|i| start + i as f64 * step).collect();
        Self { name: name.into(), knots, cubics }
    }

    /// The table of `f` over the knots' whole interval, the ends included, with a
    /// relative error below `bound` (what is below 1e-9 of the largest value counts as
    /// that much). `knots`, ascending, are kept: those are the places where `f` or a
    /// derivative of it may jump; pieces between them are halved as needed. Knots
    /// that are multiples of a power of two stay exact in f32.
    ///
    /// # Errors
    /// A function that is not finite or not smooth between two knots.
    pub fn of(name: &str, knots: &[f64], bound: f64, f: impl Fn(f64) -> f64) -> Result<Self, TableError> {
        let fail = |at| TableError { name: name.into(), bound, at };
        let floor = 1e-9 * knots.iter().fold(0.0, |m: f64, t| m.max(f(*t).abs()));
        let mut table = Self { name: name.into(), knots: Vec::new(), cubics: Vec::new() };
        let mut stack: Vec<(f64, f64)> = knots.windows(2).rev().map(|pair| (pair[0], pair[1])).collect();
        table.knots.extend(knots.first());
        while let Some((low, high)) = stack.pop() {
            let middle = low + 0.5 * (high - low);
            let cubic = fit(|s| f(low + s * (high - low)));
            let good = (0..TESTED).all(|i| {
                let s = i as f64 / (TESTED - 1) as f64;
                let want = f(low + s * (high - low));
                (horner(&cubic, s) - want).abs() <= bound * want.abs().max(floor)
            });
            if good {
                table.knots.push(high);
                table.cubics.push(cubic);
                continue;
            }
            // A piece that f32 cannot tell from its ends is as small as they come.
            let least = (high - low) <= 1e-7 * low.abs().max(high.abs());
            if least || !f(middle).is_finite() || table.cubics.len() + stack.len() > MOST {
                return Err(fail(middle));
            }
            stack.extend([(middle, high), (low, middle)]);
        }
        match table.is_good() {
            true => Ok(table),
            false => Err(fail(knots.first().copied().unwrap_or(f64::NAN))),
        }
    }

    /// The value at `at`; NaN for an empty table.
    pub fn value(&self, at: f64) -> f64 {
        let Some(last) = self.cubics.len().checked_sub(1) else { return f64::NAN };
        let i = self.knots.partition_point(|k| *k <= at).saturating_sub(1).min(last);
        let (Some(low), Some(high)) = (self.knots.get(i), self.knots.get(i + 1)) else { return f64::NAN };
        horner(&self.cubics[i], ((at - low) / (high - low)).clamp(0.0, 1.0))
    }

    /// Whether it has a value everywhere.
    pub(super) fn is_good(&self) -> bool {
        let numbers = self.cubics.iter().flatten().chain(&self.knots);
        let rises = self.knots.windows(2).all(|pair| pair[0] < pair[1]);
        let whole = !self.cubics.is_empty() && self.knots.len() == self.cubics.len() + 1;
        whole && rises && numbers.copied().all(f64::is_finite)
    }
}

fn horner(c: &[f64; 4], s: f64) -> f64 {
    c[0] + s * (c[1] + s * (c[2] + s * c[3]))
}

/// The cubic through both ends and two points between, those of Chebyshev's extremes.
fn fit(f: impl Fn(f64) -> f64) -> [f64; 4] {
    // s = (1 - cos(pi i / 3)) / 2
    let at: [f64; FITTED] = [0.0, 0.25, 0.75, 1.0];
    let mut d = at.map(f);
    // Newton's divided differences, then powers of s.
    for order in 1..FITTED {
        for i in (order..FITTED).rev() {
            d[i] = (d[i] - d[i - 1]) / (at[i] - at[i - order]);
        }
    }
    let mut c = [0.0; 4];
    for i in (0..FITTED).rev() {
        // c = c (s - at[i]) + d[i]
        for k in (1..4).rev() {
            c[k] = c[k - 1] - at[i] * c[k];
        }
        c[0] = d[i] - at[i] * c[0];
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubics_are_their_own_tables() {
        let f = |t: f64| 1.0 + t * (0.5 + t * (-0.25 + t * 2.0));
        let table = Table::of("cubic", &[-1.0, 4.0], 1e-12, f).unwrap();
        assert_eq!(table.cubics.len(), 1);
        for t in [-1.0, 0.3, 3.99, 4.0] {
            assert!((table.value(t) - f(t)).abs() < 1e-12);
        }
        assert!((table.value(9.0) - f(4.0)).abs() < 1e-12 && (table.value(-9.0) - f(-1.0)).abs() < 1e-12);
    }

    #[test]
    fn pieces_crowd_where_the_function_bends() {
        let table = Table::of("root", &[1e-5, 1.0], BOUND, |t| t.powf(-0.5)).unwrap();
        assert!(table.cubics.len() < 2000, "{}", table.cubics.len());
        let mut worst: f64 = 0.0;
        for i in 0..=100_000 {
            let t = 1e-5f64.powf(1.0 - f64::from(i) / 1e5);
            worst = worst.max((table.value(t) * t.sqrt() - 1.0).abs());
        }
        assert!(worst < 1.2 * BOUND, "{worst}");
    }

    #[test]
    fn what_jumps_is_refused_unless_at_a_knot() {
        let jump = |t: f64| if t < 0.3 { 1.0 } else { 2.0 };
        let message = Table::of("jump", &[0.0, 1.0], 1e-7, jump).unwrap_err().to_string();
        assert!(message.contains("jump") && message.contains("0.3") || message.contains("0.29"), "{message}");
        assert!(Table::of("nan", &[0.0, 1.0], 1e-7, |t| (t - 0.5).ln()).is_err());
        let kink = |t: f64| (t - 0.25).abs() + 1.0;
        assert_eq!(Table::of("kink", &[0.0, 0.25, 1.0], 1e-7, kink).unwrap().cubics.len(), 2);
    }
}
