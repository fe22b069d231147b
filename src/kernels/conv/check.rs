//! Convolutions against their twin: every variant over shapes that it takes.

use super::{Conv, ConvBuffers, STREAM, STREAM3, TILE};
use crate::kernels::check::{bits, compare, data, Case, TOLERANCE};
use crate::kernels::{Kernel, Variant};

pub(super) fn tile(case: &mut Case<'_>) -> Result<(), String> {
    check(&TILE, case)
}

pub(super) fn stream(case: &mut Case<'_>) -> Result<(), String> {
    check(&STREAM, case)
}

pub(super) fn stream3(case: &mut Case<'_>) -> Result<(), String> {
    check(&STREAM3, case)
}

/// Variants whose input is brought into an image first.
pub(in crate::kernels) fn staged(case: &mut Case<'_>) -> Result<(), String> {
    of(&STREAM, case, |v| v.get("STAGED") == 1)
}

fn shape(case: &mut Case<'_>) -> Conv {
    let (n, h, w) = (case.of(1..4), case.of(4..9), case.of(4..9));
    let (ci, co) = (case.of(1..20), case.of(1..36));
    // Kernel size, stride, padding before and behind.
    let (kh, kw, stride, before, behind) = match case.of(0..8) {
        0..=2 => (3, 3, 1, 1, 1),
        3 | 4 => (1, 1, 1, 0, 0),
        5 => (3, 3, 2, 1, 1),
        6 => (3, 3, 2, 0, 1),
        _ => (case.of(1..5), case.of(1..5), case.of(1..4), case.of(0..3), case.of(0..3)),
    };
    let scale = if case.coin() { 1.0 } else { case.real(-2.0, 2.0) as f32 };
    let up = usize::from(case.of(0..5) == 0) + usize::from(case.of(0..11) == 0);
    let out = |size: usize, k: usize| ((size << up) + before + behind - k) / stride + 1;
    Conv {
        n,
        h,
        w,
        ci,
        oh: out(h, kh),
        ow: out(w, kw),
        co,
        kh,
        kw,
        stride,
        pad_top: before,
        pad_left: before,
        scale,
        up,
        // Channels before and behind those that are added, in units that fitted() makes whole.
        temb: (case.of(0..3), case.of(0..3)),
        silu: false,
        image: false,
        to_image: false,
    }
}

impl Conv {
    /// The shape with channels, geometry and activation that a variant takes.
    fn fitted(self, v: &Variant) -> Conv {
        let up = |c: usize, name| c.next_multiple_of((v.get(name) as usize).max(1));
        let mut conv = self;
        if STREAM3.variants.iter().any(|other| std::ptr::eq(v, other)) {
            (conv.kh, conv.kw, conv.stride, conv.pad_top, conv.pad_left) = (3, 3, 1, 1, 1);
            (conv.oh, conv.ow) = (conv.h << conv.up, conv.w << conv.up);
        }
        let (co, unit) = (up(conv.co, "OUT"), up(1, "OUT"));
        let temb = (co + (conv.temb.0 + conv.temb.1) * unit, conv.temb.0 * unit);
        let (silu, to_image) = (v.get("SILU") == 1, v.get("TO") == 1);
        Conv { ci: up(conv.ci, "IN"), co, temb, silu, to_image, ..conv }
    }
}

/// One variant, whichever the capabilities would choose.
fn check(kernel: &'static Kernel, case: &mut Case<'_>) -> Result<(), String> {
    of(kernel, case, |_| true)
}

fn of(kernel: &'static Kernel, case: &mut Case<'_>, want: fn(&Variant) -> bool) -> Result<(), String> {
    let here = case.here();
    let met: Vec<&'static Variant> =
        kernel.variants.iter().filter(|v| here.meets(v.needs) && want(v)).collect();
    if met.is_empty() {
        return Ok(());
    }
    let v = met[case.of(0..met.len())];
    let mut conv = shape(case).fitted(v);
    if v.get("STAGED") == 1 && case.coin() {
        // As the op before may have written it.
        (conv.ci, conv.image) = (conv.ci.next_multiple_of(8), true);
    }
    let (temb, res, seed) = (case.coin(), case.coin(), case.word());
    let pixels = conv.n * conv.oh * conv.ow * conv.co;
    let x = data(seed, conv.n * conv.h * conv.w * conv.ci);
    let weight = data(seed ^ 1, conv.co * conv.ci * conv.kh * conv.kw);
    let bias = data(seed ^ 2, conv.co);
    let emb = data(seed ^ 3, conv.n * conv.temb.0);
    let skip = data(seed ^ 4, pixels);
    let mut arrays = vec![
        bits(&x),
        bits(&conv.pack(kernel, v, &weight)),
        bits(&conv.pack_bias(kernel, v, Some(&bias))),
        bits(&emb),
        bits(&skip),
        vec![0; pixels],
        vec![0; 8],
        vec![0; conv.staging(v).map_or(8, |t| t.len())],
    ];
    let (emb, skip) = (temb.then_some(&emb[..]), res.then_some(&skip[..]));
    let (temb, res) = (emb.map(|_| 3), skip.map(|_| 4));
    let buffers = ConvBuffers { x: 0, weight: 1, bias: 2, temb, res, y: 5, staged: Some(7), dummy: 6 };
    case.run(&conv.calls(&here, (kernel, v), buffers), &mut arrays)?;
    let want = conv.reference(&x, &weight, Some(&bias), emb, skip);
    compare(&arrays[5], &want, TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Caps;

    #[test]
    fn every_shape_finds_a_variant_that_takes_it() {
        let lavapipe = Caps { stream: true, subgroup: Some(8), int64: true, images: true, ..Caps::CORE };
        let caps = [
            Caps::CORE,
            Caps { stream: true, ..Caps::CORE },
            Caps { images: false, ..lavapipe },
            lavapipe,
            Caps { stream: true, subgroup: Some(8), ..Caps::CORE },
            Caps { stream: true, subgroup: Some(4), images: true, ..Caps::CORE },
            Caps { subgroup: Some(32), int64: true, ..Caps::CORE },
        ];
        for caps in caps {
            for (ci, co) in (1..40).flat_map(|ci| (1..40).map(move |co| (ci, co))) {
                let conv = Conv {
                    n: 1,
                    h: 8,
                    w: 8,
                    ci,
                    oh: 8,
                    ow: 8,
                    co,
                    kh: 1,
                    kw: 1,
                    stride: 1,
                    scale: 1.0,
                    silu: (ci + co) % 3 == 0,
                    ..Default::default()
                };
                let (_, v) = conv.choose(&caps);
                assert!(caps.meets(v.needs), "{caps:?} {ci} {co}: {}", v.name);
                let fit = conv.fitted(v);
                assert_eq!((fit.ci, fit.co, fit.silu), (ci, co, conv.silu), "{caps:?} {ci} {co}: {}", v.name);
                // An odd place in a vector of time embeddings is refused vector loads.
                let odd = Conv { temb: (2 * co + 1, co + 1), ..conv };
                let width = (odd.choose(&caps).1.get("OUT") as usize).max(1);
                assert!([odd.temb.0, odd.temb.1].iter().all(|c| c.is_multiple_of(width)), "{width}");
                // What is summed in which order must not depend on the batch.
                assert!(std::ptr::eq(v, Conv { n: 7, ..conv }.choose(&caps).1));
            }
        }
    }
}
