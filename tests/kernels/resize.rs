//! Kernels that change sizes, and embeddings.

use super::harness::{bits, compare, data, rig, twin, TOLERANCE};
use proptest::prelude::*;
use undiffuse::kernels::embed::{self, frequency_table, positional, Embed, TimeEmbed};
use undiffuse::kernels::fir::{self, Fir};
use undiffuse::kernels::resample::{self, Resample};
use undiffuse::shape::Shape;

fn shape() -> impl Strategy<Value = Shape> {
    (1usize..12, 1usize..12, 1usize..6, any::<bool>())
        .prop_map(|(h, w, c, q)| Shape::new(h, w, if q { 4 * c } else { c }))
}

#[test]
fn resample_matches() {
    let s = (1usize..4, shape(), 1usize..20, 1usize..20, 0usize..3, any::<u64>());
    twin(&[&resample::KERNEL], 200, s, |t, caps, &(n, from, h, w, pool, seed)| {
        let op = match pool {
            0 => Resample::Nearest { h, w },
            2 => Resample::Linear { h, w },
            _ => Resample::Pool { k: 1 + h % 3 },
        };
        let x = data(seed, n * from.len());
        let mut arrays = vec![bits(&x), vec![0; n * op.out(from).len()]];
        t.run(&op.calls(caps, n, from, 0, 1), &mut arrays)?;
        compare(&arrays[1], &op.reference(n, from, &x), TOLERANCE)
    });
}

#[test]
fn fir_matches() {
    let s = (1usize..4, shape(), 1usize..4, 1usize..4, -2isize..5, -2isize..5, 1usize..17, any::<u64>());
    twin(&[&fir::KERNEL], 250, s, |t, caps, &(n, from, up, down, pad0, pad1, taps, seed)| {
        let op = Fir { up, down, pad0, pad1, taps };
        let x = data(seed, n * from.len());
        let table = Fir::table(&data(seed ^ 1, taps));
        let mut arrays = vec![bits(&x), bits(&table), vec![0; n * op.out(from).len()]];
        t.run(&op.calls(caps, n, from, 0, 1, 2), &mut arrays)?;
        compare(&arrays[2], &op.reference(n, from, &x, &table), TOLERANCE)
    });
}

/// StyleGAN's `upsample_2d` and `downsample_2d` with [1, 3, 3, 1], on one row and
/// column: up by 2 with gain 4, pads (2, 1); down by 2, pads (1, 1).
#[test]
fn fir_as_networks_use_it() {
    let from = Shape::new(4, 4, 1);
    let up = Fir { up: 2, down: 1, pad0: 2, pad1: 1, taps: 4 };
    let down = Fir { up: 1, down: 2, pad0: 1, pad1: 1, taps: 4 };
    assert_eq!(up.out(from), Shape::new(8, 8, 1));
    assert_eq!(down.out(from), Shape::new(2, 2, 1));
    // A constant image stays constant inside.
    let filter = [0.25f32, 0.75, 0.75, 0.25];
    let y = up.reference(1, from, &[1.0; 16], &Fir::table(&filter)).value;
    assert!((y[3 * 8 + 3] - 1.0).abs() < 1e-12);
    let filter = [0.125f32, 0.375, 0.375, 0.125];
    let y = down.reference(1, Shape::new(8, 8, 1), &[1.0; 64], &Fir::table(&filter)).value;
    assert!((y[5] - 1.0).abs() < 1e-12);
}

#[test]
fn time_embed_matches() {
    let s = (1usize..5, 2usize..70, any::<bool>(), 0usize..3, 0u32..2, any::<u64>());
    twin(&[&embed::TIME], 250, s, |t, caps, &(n, dim, cos_first, kind, shift, seed)| {
        let op = TimeEmbed { n, dim, cos_first, log: kind == 2 };
        let turns: Vec<f64> = match kind {
            0 if dim / 2 > shift as usize => positional(dim / 2, shift.into(), 1.0, 10000.0),
            _ => data(seed ^ 1, dim / 2).iter().map(|v| 16.0 * f64::from(v.clamp(-1.0, 1.0))).collect(),
        };
        let table = frequency_table(&turns);
        let times: Vec<f32> = data(seed, n)
            .iter()
            .map(|v| match kind {
                0 => 999.0 - v * 300.0,
                1 => v.clamp(-1.0, 1.0) * 20.0, // 16 x 20 x 2 pi = 2000 rad
                _ => (v * 3.0).exp(),
            })
            .collect();
        let mut arrays = vec![bits(&times), bits(&table), vec![0; n * dim]];
        t.run(&op.calls(caps, 0, 1, 2), &mut arrays)?;
        compare(&arrays[2], &op.reference(&times, &turns), 1e-6)
    });
}

/// Every integer time of a training schedule, absolutely to 4e-7.
#[test]
fn integer_times_are_accurate() {
    let turns = positional(64, 0.0, 1.0, 10000.0);
    let times: Vec<f32> = (0..1000).map(|t| t as f32).collect();
    let op = TimeEmbed { n: 1000, dim: 128, ..Default::default() };
    let mut arrays = vec![bits(&times), bits(&frequency_table(&turns)), vec![0; 128_000]];
    rig().run(&op.calls(&rig().caps, 0, 1, 2), &mut arrays).unwrap();
    compare(&arrays[2], &op.reference(&times, &turns), 4e-7).unwrap();
}

#[test]
fn embed_copies_rows() {
    let s = (1usize..9, 1usize..12, 1usize..20, any::<bool>(), any::<u64>());
    twin(&[&embed::ROWS], 200, s, |t, caps, &(n, rows, c, fours, seed)| {
        let op = Embed { n, rows, c: if fours { 4 * c } else { c } };
        let table = data(seed, rows * op.c);
        let labels: Vec<f32> =
            (0..n as u32).map(|i| if i == 3 { 1e30 } else { ((seed as u32 >> i) % 14) as f32 }).collect();
        let mut arrays = vec![bits(&labels), bits(&table), vec![0; n * op.c]];
        t.run(&op.calls(caps, 0, 1, 2), &mut arrays)?;
        (arrays[2] == bits(&op.reference(&labels, &table))).then_some(()).ok_or_else(|| "rows differ".into())
    });
}
