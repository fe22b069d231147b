//! Tensors made of others when they are read: for passes that join or split layers.

use super::{Param, WeightsError};
use std::ops::Range;

/// `[a, ...]`, `[b, ...]` ... under one another: `[a + b + ..., ...]`. Nothing for no
/// tensors, or where they differ in more than their first dimension.
pub fn stack(parts: &[Param]) -> Option<Param> {
    let (first, rest) = parts.first()?.shape().split_first()?;
    let same = |p: &Param| p.shape().split_first().is_some_and(|(_, r)| r == rest);
    let mut rows = *first;
    for p in &parts[1..] {
        rows = rows.checked_add(p.shape().first().copied().filter(|_| same(p))?)?;
    }
    let shape: Vec<usize> = std::iter::once(rows).chain(rest.iter().copied()).collect();
    let name = parts.iter().map(Param::name).collect::<Vec<_>>().join(" + ");
    let parts = parts.to_vec();
    let make = move || {
        let mut all = Vec::with_capacity(parts.iter().map(Param::count).sum());
        for p in &parts {
            all.extend(p.to_f32()?);
        }
        Ok::<_, WeightsError>(all)
    };
    Some(Param::derived(name, &shape, make))
}

/// `count` zeros, for layers without a bias that are stacked on some with one.
pub fn zeros(count: usize) -> Param {
    Param::lazy(format!("zeros {count}"), &[count], move || vec![0.0; count])
}

/// Entries `range` of the second dimension: the weights of some input channels.
/// Nothing where the tensor has no such entries.
pub fn columns(of: &Param, range: Range<usize>) -> Option<Param> {
    let &[rows, width, ref rest @ ..] = of.shape() else { return None };
    if range.start > range.end || range.end > width {
        return None;
    }
    let inner: usize = rest.iter().product();
    let shape: Vec<usize> = [rows, range.len()].into_iter().chain(rest.iter().copied()).collect();
    let name = format!("{}[:, {}..{}]", of.name(), range.start, range.end);
    let of = of.clone();
    let make = move || {
        let all = of.to_f32()?;
        let rows = all.chunks_exact((width * inner).max(1));
        Ok(rows.flat_map(|row| &row[range.start * inner..range.end * inner]).copied().collect())
    };
    Some(Param::derived(name, &shape, make))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(name: &str, shape: &[usize], first: i32) -> Param {
        let count = shape.iter().product::<usize>() as i32;
        Param::from_f32(name, shape, (first..first + count).map(|v| v as f32).collect()).unwrap()
    }

    #[test]
    fn stacked_and_cut() {
        let (a, b) = (param("a", &[2, 3], 0), param("b", &[1, 3], 6));
        let all = stack(&[a.clone(), b]).unwrap();
        assert_eq!((all.name(), all.shape()), ("a + b", &[3, 3][..]));
        assert_eq!(all.to_f32().unwrap(), (0..9).map(|v| v as f32).collect::<Vec<_>>());
        let cut = columns(&all, 1..3).unwrap();
        assert_eq!(cut.shape(), [3, 2]);
        assert_eq!(cut.to_f32().unwrap(), [1.0, 2.0, 4.0, 5.0, 7.0, 8.0]);
        let conv = columns(&param("c", &[2, 2, 1, 2], 0), 1..2).unwrap();
        assert_eq!((conv.shape(), conv.to_f32().unwrap()), (&[2, 1, 1, 2][..], vec![2.0, 3.0, 6.0, 7.0]));
        assert!(columns(&all, 2..4).is_none() && stack(&[]).is_none());
        assert!(stack(&[a, param("d", &[1, 2], 0)]).is_none());
    }

    #[test]
    fn what_is_wrong_with_a_part_is_said_of_the_part() {
        let bad = Param::from_f32("conv.bias", &[1], vec![f32::NAN]).unwrap();
        let all = stack(&[param("a", &[2], 0), bad]).unwrap();
        assert!(all.to_f32().unwrap_err().to_string().contains("`conv.bias`"));
    }
}
