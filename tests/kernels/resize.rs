//! Filters as networks use them, and times of a training schedule.

use super::harness::{bits, compare, rig};
use undiffuse::kernels::embed::{frequency_table, positional, TimeEmbed};
use undiffuse::kernels::fir::Fir;
use undiffuse::shape::Shape;

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
