//! The harness notices what is planted.

use super::harness::{bits, compare, data, rig, TOLERANCE};
use undiffuse::kernels::{noise, Caps, Reference};

fn planted(spoil: Option<(usize, usize)>) -> Result<Vec<u32>, String> {
    let op = noise::Noise { n: 2, len: 12, ..Default::default() };
    let mut arrays = vec![noise::table_words(), vec![0; 24]];
    rig().run_spoilt(&op.calls(&Caps::CORE, 0, 1), &mut arrays, spoil)?;
    Ok(arrays.swap_remove(1))
}

#[test]
fn planted_errors_are_noticed() {
    let good = planted(None).unwrap();
    let value: Vec<f64> = good.iter().map(|b| f64::from(f32::from_bits(*b))).collect();
    let want = Reference { magnitude: vec![1.0; value.len()], value };
    compare(&good, &want, TOLERANCE).unwrap();
    // An element, the word before the array, the word behind it.
    let wrong = planted(Some((1, 64 + 7))).unwrap();
    assert!(compare(&wrong, &want, TOLERANCE).unwrap_err().starts_with("element 7"));
    assert!(planted(Some((1, 63))).unwrap_err().contains("before"));
    assert!(planted(Some((1, 64 + 24))).unwrap_err().contains("behind"));
    // NaN is not "within the tolerance".
    let mut nan = good;
    nan[3] = f32::NAN.to_bits();
    assert!(compare(&nan, &want, TOLERANCE).is_err());
}

/// A kernel that writes past its array, and one that misses elements.
#[test]
fn a_kernel_out_of_range_is_noticed() {
    let op = noise::Noise { n: 2, len: 16, ..Default::default() };
    let mut arrays = vec![noise::table_words(), vec![0; 24]];
    assert!(rig().run(&op.calls(&Caps::CORE, 0, 1), &mut arrays).unwrap_err().contains("behind"));
    let value: Vec<f64> = op.reference().iter().map(|x| f64::from(*x)).collect();
    let want = Reference { magnitude: vec![1.0; value.len()], value };
    let mut arrays = vec![noise::table_words(), vec![0; 32]];
    let mut calls = op.calls(&Caps::CORE, 0, 1);
    calls[0].params[0].1 = 7u32.into(); // one block too few
    rig().run(&calls, &mut arrays).unwrap();
    assert!(compare(&arrays[1], &want, TOLERANCE).unwrap_err().starts_with("element 28"));
}

#[test]
fn a_shader_error_is_an_error() {
    static BROKEN: undiffuse::kernels::Kernel = undiffuse::kernels::Kernel {
        name: "broken",
        check: |_| Ok(()),
        source: "struct P { groups: u32, base: u32 }\n@group(0) @binding(0) var<uniform> p: P;\n\
                 @compute @workgroup_size(1) fn main() { let x: f32 = p.base; }",
        variants: &[undiffuse::kernels::Variant {
            name: "only",
            defines: &[],
            needs: undiffuse::kernels::Needs::NONE,
        }],
    };
    let call = undiffuse::kernels::Call {
        kernel: &BROKEN,
        variant: &BROKEN.variants[0],
        bindings: vec![],
        params: vec![],
        groups: 1,
    };
    assert!(rig().run(&[call], &mut []).unwrap_err().contains("broken"));
    assert_eq!(bits(&data(1, 4)), bits(&data(1, 4)));
}
