//! The element-wise kernels of networks, group norm, and pixels.

use super::harness::{bits, compare, data, floats, twin, TOLERANCE};
use proptest::prelude::*;
use undiffuse::kernels::activation::Activation;
use undiffuse::kernels::copy_channels::{self, CopyChannels};
use undiffuse::kernels::elementwise::{self, Elementwise, Second};
use undiffuse::kernels::norm::{self, Embedding, GroupNorm};
use undiffuse::kernels::pack::{self, CountBad, Pack};

#[test]
fn elementwise_matches() {
    let s =
        (1usize..4, 1usize..20, 1usize..12, any::<bool>(), 0usize..9, 0usize..10, 0usize..3, any::<u64>());
    twin(&[&elementwise::KERNEL], 700, s, |t, caps, &(n, pixels, c, fours, act, kind, at, seed)| {
        let f = if fours { 4 } else { 1 };
        let (c, at) = (c * f, at * f);
        let channels = 2 * c + at + f * (seed % 3) as usize;
        let (second, b_len) = match kind {
            0..=2 => (Second::None, 1),
            3..=4 => (Second::Same, n * pixels * c),
            5..=6 => (Second::Vector { channels, at }, n * channels),
            7 => (Second::Image, n),
            8 => (Second::Over, n),
            _ => (Second::ScaleShift { channels, at }, n * channels),
        };
        let activation = match kind {
            7 | 8 => Activation::Identity,
            9 if act < 4 => Activation::Identity,
            9 => Activation::Silu,
            _ => Activation::ALL[act],
        };
        let op = Elementwise { n, pixels, c, ca: 0.7, cb: -1.3, d: 0.25, second, activation };
        let (mut a, mut b) = (data(seed, n * pixels * c), data(seed ^ 1, b_len));
        a[0] *= 100.0;
        if kind == 8 {
            b.iter_mut().for_each(|v| *v = v.abs() + 0.1);
        }
        let mut arrays = vec![bits(&a), bits(&b), vec![0; a.len()]];
        t.run(&op.calls(caps, 0, Some(1), 2), &mut arrays)?;
        compare(&arrays[2], &op.reference(&a, &b), TOLERANCE)
    });
}

/// No activation overflows, and NaN stays NaN.
#[test]
fn activations_of_extreme_numbers() {
    let extreme =
        [0.0, -0.0, 1e-30, 1e30, -1e30, 88.0, -88.0, 200.0, -200.0, 9.5, -9.5, f32::MIN, 3e38, f32::NAN];
    for activation in Activation::ALL {
        let op = Elementwise { n: 1, pixels: 1, c: extreme.len(), ca: 1.0, activation, ..Default::default() };
        let mut arrays = vec![bits(&extreme), vec![0; extreme.len()]];
        super::harness::rig().run(&op.calls(&super::harness::rig().caps, 0, None, 1), &mut arrays).unwrap();
        for (x, y) in extreme.iter().zip(floats(&arrays[1])) {
            // x^3 of the tanh form may be infinite, its tanh is not.
            let want = if x.is_nan() { f64::NAN } else { activation.apply(f64::from(*x)) };
            let good = y.is_nan() == x.is_nan()
                && (x.is_nan() || (f64::from(y) - want).abs() <= 2e-6 * (1.0 + want.abs()));
            assert!(good, "{activation:?}({x:e}) = {y:e}, want {want:e}");
        }
    }
}

#[test]
fn group_norm_matches() {
    let s = (1usize..4, 1usize..90, 1usize..7, 1usize..7, any::<bool>(), 0usize..9, 0usize..3, any::<u64>());
    let kernels = [&norm::STATS, &norm::FINISH, &norm::APPLY];
    twin(&kernels, 400, s, |t, caps, &(n, pixels, groups, size, fours, act, emb, seed)| {
        let size = if fours { 4 * size } else { size };
        let c = groups * size;
        let activation = Activation::ALL[act];
        let op = GroupNorm { n, pixels: pixels * 3, c, groups, eps: 1e-5, activation };
        let mut x = data(seed, n * op.pixels * c);
        if seed % 4 == 0 {
            x.iter_mut().for_each(|v| *v += 300.0); // far from zero
        }
        let (gamma, beta) = (data(seed ^ 1, c), data(seed ^ 2, c));
        let channels = 2 * c + 3;
        let e = data(seed ^ 3, n * channels);
        let with = emb > 0;
        let mut arrays = vec![
            bits(&x),
            bits(&gamma),
            bits(&beta),
            bits(&e),
            vec![0; op.part_len(caps)],
            vec![0; op.coef_len()],
            vec![0; x.len()],
        ];
        let embedding = with.then_some(Embedding { tensor: 3, channels, at: emb });
        // Now and then the tensor is two, channels after channels.
        let first =
            if seed % 3 == 0 { c / 2 / if fours { 4 } else { 1 } * if fours { 4 } else { 1 } } else { 0 };
        let mut xs = vec![(0, c)];
        if first > 0 {
            let part = |from: usize, to: usize| -> Vec<f32> {
                x.chunks_exact(c).flat_map(|pixel| &pixel[from..to]).copied().collect()
            };
            arrays.extend([bits(&part(0, first)), bits(&part(first, c))]);
            xs = vec![(7, first), (8, c - first)];
        }
        let mut calls = op.statistics(caps, &xs, 1, 2, embedding, 4, 5);
        calls.extend(op.apply(caps, &xs, 5, 6));
        t.run(&calls, &mut arrays)?;
        let embedding = with.then_some(Embedding { tensor: &e[..], channels, at: emb });
        let (coef, y) = op.reference(&x, &gamma, &beta, embedding);
        // Rounding of x itself bounds the variance where x is far from zero.
        let constant = op.pixels * size < 8;
        let tolerance = if constant || seed % 4 == 0 { 1e-3 } else { TOLERANCE };
        compare(&arrays[5], &coef, tolerance)?;
        compare(&arrays[6], &y, tolerance)
    });
}

#[test]
fn copy_channels_matches() {
    let s = (1usize..60, 1usize..9, 0usize..4, 0usize..4, 0usize..4, any::<bool>(), any::<u64>());
    twin(&[&copy_channels::KERNEL], 200, s, |t, caps, &(pixels, c, a, b, d, fours, seed)| {
        let [c, a, b, d] = [c, a, b, d].map(|v| if fours { 4 * v } else { v });
        let op = CopyChannels { pixels, c, src_c: c + a + b, src_at: a, dst_c: c + b + d, dst_at: b };
        let src = data(seed, pixels * op.src_c);
        let mut dst = data(seed ^ 1, pixels * op.dst_c);
        let mut arrays = vec![bits(&src), bits(&dst)];
        t.run(&op.calls(caps, 0, 1), &mut arrays)?;
        op.reference(&src, &mut dst);
        (arrays[1] == bits(&dst)).then_some(()).ok_or_else(|| "numbers differ".into())
    });
}

#[test]
fn pack_matches() {
    let s = (1usize..5, 1usize..30, 1usize..20, 1usize..7, 0usize..9, any::<u64>());
    twin(&[&pack::KERNEL, &pack::COUNT_BAD], 200, s, |t, caps, &(n, h, w, c, gap, seed)| {
        let op = Pack { rows: n * h, w, c, pitch: w + gap };
        let pixels = h * w;
        let mut x = data(seed, n * pixels * c);
        for (i, v) in x.iter_mut().enumerate() {
            match (i as u64 ^ seed) % 29 {
                0 => *v = f32::NAN,
                1 => *v = f32::INFINITY,
                2 => *v = f32::NEG_INFINITY,
                _ => {}
            }
        }
        let mut arrays = vec![bits(&x), vec![0; op.rows * op.pitch], vec![9; n]];
        t.run(&op.calls(caps, 0, 1), &mut arrays)?;
        t.run(&CountBad { n, len: pixels * c, ..Default::default() }.calls(caps, 0, 2), &mut arrays)?;
        for (i, (a, b)) in arrays[1].iter().zip(op.reference(&x)).enumerate() {
            for (p, q) in a.to_le_bytes().into_iter().zip(b.to_le_bytes()) {
                if p.abs_diff(q) > 1 {
                    return Err(format!("pixel {i}: {a:08x} for {b:08x}"));
                }
            }
        }
        let count = CountBad { n, len: pixels * c, at: 1, add: true };
        let want = count.reference(&x);
        if arrays[2] != want {
            return Err(format!("{:?} bad, want {want:?}", arrays[2]));
        }
        arrays[2] = vec![5; n + 1];
        t.run(&count.calls(caps, 0, 2), &mut arrays)?;
        let good = arrays[2][0] == 5 && arrays[2][1..].iter().zip(&want).all(|(a, b)| *a == b + 5);
        good.then_some(()).ok_or_else(|| "added counts differ".into())
    });
}

/// Every byte is hit by its own level, and halves round up.
#[test]
fn bytes_are_exact_at_the_levels() {
    let x: Vec<f32> =
        (0..256).map(|i| (f64::from(i) / 127.5 - 1.0) as f32).chain([-9.0, 9.0, 0.0, -0.0]).collect();
    let op = Pack { rows: 1, w: x.len(), c: 1, pitch: x.len() };
    let mut arrays = vec![bits(&x), vec![0; x.len()]];
    super::harness::rig().run(&op.calls(&undiffuse::kernels::Caps::CORE, 0, 1), &mut arrays).unwrap();
    assert_eq!(arrays[1], op.reference(&x));
    let low: Vec<u32> = arrays[1].iter().map(|w| w & 255).collect();
    assert_eq!(low[..256], (0..256).collect::<Vec<u32>>());
    assert_eq!(low[256..], [0, 255, 128, 128]);
}
