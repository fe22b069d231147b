//! Activations of extreme numbers, and pixels at their levels.

use super::harness::{bits, floats};
use undiffuse::kernels::activation::Activation;
use undiffuse::kernels::elementwise::Elementwise;
use undiffuse::kernels::pack::Pack;

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
