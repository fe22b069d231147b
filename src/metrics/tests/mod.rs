//! Statistics against torch-fidelity and prdc, and against what must be.

mod reference;

use super::manifold::Balls;
use super::*;

/// Sums of four uniform numbers, neighbours correlated, as `tests/metrics/reference.py` makes them.
fn features(which: u32, rows: usize, columns: usize, spread: f64, shift: f64) -> Features {
    let word = |row: usize, column: usize, draw: u32| {
        let mut h = which
            .wrapping_mul(0x9E37_79B1)
            .wrapping_add((row as u32).wrapping_mul(0x85EB_CA77))
            .wrapping_add((column as u32).wrapping_mul(0xC2B2_AE3D))
            .wrapping_add(draw.wrapping_mul(0x27D4_EB2F));
        for _ in 0..2 {
            h ^= h >> 15;
            h = h.wrapping_mul(0x2C1B_3C6D);
            h ^= h >> 12;
        }
        h
    };
    let z = |i, j| (0..4).map(|k| f64::from(word(i, j, k) >> 8) / 16_777_216.0).sum::<f64>() - 2.0;
    let one = |i, j| ((z(i, j + 1) + 0.5 * z(i, j)) * spread + shift) as f32;
    let values = (0..rows * columns).map(|i| one(i / columns, i % columns)).collect();
    Features::new("the test's set", columns, values).unwrap()
}

fn near(found: f64, wanted: f64, relative: f64) {
    assert!((found - wanted).abs() <= relative * wanted.abs().max(1e-300), "{found} is not {wanted}");
}

fn moments(of: &Features) -> Moments {
    Moments::of(of).unwrap()
}

#[test]
fn eigenvalues_and_roots_make_the_matrix() {
    for n in [1, 2, 3, 7, 40] {
        let x = features(9, n + 3, n, 1.0, 0.2);
        let a = moments(&x).covariance();
        let root = a.sqrt().unwrap();
        let squared = root.sandwich(&Symmetric::of(n, |i, j| f64::from(u8::from(i == j))));
        let far = a.values().iter().zip(squared.values()).fold(0f64, |m, (x, y)| m.max((x - y).abs()));
        assert!(far < 1e-12, "{n}: {far}");
        near(a.eigenvalues().unwrap().iter().sum(), a.trace(), 1e-12);
    }
    // The second difference, whose eigenvalues are known.
    let n = 50;
    let laplace = Symmetric::of(n, |i, j| match i - j {
        0 => 2.0,
        1 => -1.0,
        _ => 0.0,
    });
    let mut found = laplace.eigenvalues().unwrap();
    found.sort_by(f64::total_cmp);
    for (k, v) in found.iter().enumerate() {
        let half = (k + 1) as f64 * std::f64::consts::PI / (2.0 * (n + 1) as f64);
        near(*v, 4.0 * half.sin().powi(2), 1e-11);
    }
}

/// `|m1 - m2|^2 + sum (s1 - s2)^2` where both covariances are diagonal, and 0 of a set from itself.
#[test]
fn the_frechet_distance_of_axes_is_known() {
    let of = |mean: [f64; 3], s: [f64; 3]| {
        let covariance = (0..9).map(|i| if i / 3 == i % 3 { s[i / 3] * s[i / 3] } else { 0.0 }).collect();
        Moments::from_statistics("a set", 100, mean.to_vec(), covariance).unwrap()
    };
    let (a, b) = (of([0.0, 1.0, 2.0], [1.0, 2.0, 0.5]), of([0.5, 1.0, 0.0], [3.0, 2.0, 0.0]));
    near(frechet_distance(&a, &b).unwrap(), 0.25 + 4.0 + 4.0 + 0.25, 1e-12);
    assert!(frechet_distance(&a, &a).unwrap().abs() < 1e-12);
    let x = moments(&features(1, 300, 24, 1.0, 0.0));
    assert!(frechet_distance(&x, &x).unwrap().abs() < 1e-9);
}

#[test]
fn parts_join_to_the_whole() {
    let all = features(7, 103, 9, 1.0, 30.0);
    let part = |rows: std::ops::Range<usize>| moments(&all.select(&rows.collect::<Vec<_>>()));
    let joined = part(0..1).merge(&part(1..40)).unwrap().merge(&part(40..103)).unwrap();
    let whole = moments(&all);
    assert_eq!(joined.count(), 103);
    for (a, b) in joined.mean().iter().zip(whole.mean()) {
        near(*a, *b, 1e-13);
    }
    let (a, b) = (joined.covariance(), whole.covariance());
    let far = a.values().iter().zip(b.values()).fold(0f64, |m, (x, y)| m.max((x - y).abs()));
    assert!(far < 1e-11, "{far}");
}

/// A set against itself is covered; against one far away it is not.
#[test]
fn manifolds_of_what_is_obvious() {
    let a = features(1, 60, 5, 1.0, 0.0);
    let same = manifold(&a, &a, 3).unwrap();
    assert_eq!((same.precision, same.recall, same.coverage), (1.0, 1.0, 1.0));
    let away = manifold(&a, &features(2, 60, 5, 1.0, 100.0), 3).unwrap();
    assert_eq!(away, Manifold { precision: 0.0, recall: 0.0, density: 0.0, coverage: 0.0 });
    // One generated picture again and again: it lies on the manifold, and covers nearly nothing.
    let one = a.select(&[4; 60]);
    let found = manifold(&a, &one, 3).unwrap();
    assert_eq!((found.precision, found.recall), (1.0, 0.0));
    assert!(found.coverage < 0.2 && found.density > 0.9, "{found:?}");
}

#[test]
fn modes_count_and_diverge() {
    let even = Modes::of(4, &[0, 1, 2, 3], None).unwrap();
    assert_eq!((even.hit, even.kl), (4, 0.0));
    let one = Modes::of(4, &[2; 10], None).unwrap();
    assert_eq!(one.hit, 1);
    near(one.kl, 4f64.ln(), 1e-12);
    let as_wanted = Modes::of(2, &[0, 0, 0, 1], Some(&[30, 10])).unwrap();
    near(as_wanted.kl + 1.0, 1.0, 1e-12);
    assert!(Modes::of(2, &[0, 1], Some(&[5, 0])).unwrap().kl.is_finite());
    assert!(Modes::of(2, &[2], None).is_err());
    assert!(Modes::of(2, &[1], Some(&[1])).is_err());
}

/// The deviation of subsets tells the error of the mean, and subsets hold no picture twice.
#[test]
fn subsets_tell_the_error() {
    let x = features(3, 400, 1, 1.0, 0.0);
    let mean = |rows: &[usize]| rows.iter().map(|i| f64::from(x.row(*i)[0])).sum::<f64>() / rows.len() as f64;
    let all: Vec<usize> = (0..400).collect();
    let values: Vec<f64> = all.iter().map(|i| f64::from(x.row(*i)[0])).collect();
    let mut draw = Subsets::new(5);
    for size in [200, 80] {
        let subsets = (0..400).map(|_| draw.draw(400, size));
        let each: Vec<f64> = subsets
            .map(|rows| {
                assert!(rows.len() == size && rows.windows(2).all(|p| p[0] < p[1]));
                mean(&rows)
            })
            .collect();
        let found = Estimate::of_subsets(mean(&all), &each, size, 400);
        near(found.error.unwrap(), Estimate::of_mean(&values).error.unwrap(), 0.15);
        let [low, high] = found.interval.unwrap();
        assert!(low < found.value && found.value < high);
    }
    // Every number has its chance.
    let mut seen = [0; 10];
    let mut subsets = Subsets::new(1);
    (0..1000).for_each(|_| subsets.draw(10, 3).into_iter().for_each(|i| seen[i] += 1));
    assert!(seen.iter().all(|n| (220..380).contains(n)), "{seen:?}");
    assert_eq!(Estimate::new(1.0, None).interval, None);
}

#[test]
fn what_cannot_be_is_refused() {
    let said = |e: MetricsError| e.to_string();
    let nan = Features::new("generated", 2, vec![0.0, 1.0, 2.0, f32::NAN]).unwrap_err();
    assert!(said(nan).contains("number 1 of row 1 is NaN"));
    assert!(said(Features::new("x", 3, vec![0.0; 4]).unwrap_err()).contains("no rows of 3"));
    assert!(Features::new("x", 0, vec![]).is_err());
    let (a, b) = (features(1, 5, 3, 1.0, 0.0), features(1, 5, 4, 1.0, 0.0));
    let widths = |e: MetricsError| assert_eq!(e, MetricsError::Width { left: 3, right: 4 });
    widths(frechet_distance(&moments(&a), &moments(&b)).unwrap_err());
    widths(kernel_distance(&a, &b, KernelOptions::default()).unwrap_err());
    widths(manifold(&a, &b, 1).unwrap_err());
    widths(moments(&a).merge(&moments(&b)).unwrap_err());
    let few = said(manifold(&a, &a, 5).unwrap_err());
    assert!(few.contains("6 pictures or more, the test's set has 5") && few.contains("smaller k"), "{few}");
    assert!(said(Balls::around(&a, 0).unwrap_err()).contains("k: "));
    let one = a.select(&[0]);
    assert!(kernel_distance(&one, &a, KernelOptions::default()).is_err());
    assert!(Moments::of(&a.select(&[])).is_err());
    let bad = |mean: Vec<f64>, sigma: Vec<f64>| {
        said(Moments::from_statistics("ref.npz", 9, mean, sigma).unwrap_err())
    };
    assert!(bad(vec![0.0; 2], vec![0.0; 3]).contains("ref.npz"));
    assert!(bad(vec![0.0; 2], vec![1.0, 0.5, -0.5, 1.0]).contains("not symmetric"));
    assert!(bad(vec![f64::NAN], vec![1.0]).contains("mean"));
    assert!(bad(vec![0.0], vec![f64::INFINITY]).contains("covariance"));
}
