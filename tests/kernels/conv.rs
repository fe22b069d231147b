//! Convolution and linear layers, every variant of both families.

use super::harness::{bits, compare, data, twin, TOLERANCE};
use proptest::prelude::*;
use undiffuse::kernels::conv::{self, Conv, ConvBuffers};
use undiffuse::kernels::{Caps, Kernel, Variant};

/// Kernel size, stride, padding before and behind, scale.
fn geometry() -> impl Strategy<Value = (usize, usize, usize, usize, usize)> {
    prop_oneof![
        3 => Just((3, 3, 1, 1, 1)),
        2 => Just((1, 1, 1, 0, 0)),
        1 => Just((3, 3, 2, 1, 1)),
        1 => Just((3, 3, 2, 0, 1)),
        1 => (1usize..5, 1usize..5, 1usize..4, 0usize..3, 0usize..3),
    ]
}

fn shapes() -> impl Strategy<Value = (Conv, (bool, bool), u64)> {
    let size = (1usize..4, 4usize..9, 4usize..9, 1usize..20, 1usize..36);
    (size, geometry(), prop_oneof![Just(1.0f32), -2.0f32..2.0], any::<(bool, bool)>(), any::<u64>()).prop_map(
        |((n, h, w, ci, co), (kh, kw, stride, before, behind), scale, extras, seed)| {
            let up = usize::from(seed % 5 == 0) + usize::from(seed % 11 == 0);
            let out = |size: usize, k: usize| ((size << up) + before + behind - k) / stride + 1;
            let (oh, ow) = (out(h, kh), out(w, kw));
            let (pad_top, pad_left) = (before, before);
            // Channels before and behind those that are added, in units that fit() makes whole.
            let temb = (((seed >> 8) % 3) as usize, ((seed >> 16) % 3) as usize);
            let silu = (seed >> 24) % 2 == 1;
            let conv =
                Conv { n, h, w, ci, oh, ow, co, kh, kw, stride, pad_top, pad_left, scale, up, temb, silu };
            (conv, extras, seed)
        },
    )
}

/// The shape with channels that a variant takes.
fn fitted(conv: Conv, v: &Variant) -> Conv {
    let up = |c: usize, name| c.next_multiple_of((v.get(name) as usize).max(1));
    let mut conv = conv;
    if conv::STREAM3.variant(v.name).is_some() {
        (conv.kh, conv.kw, conv.stride, conv.pad_top, conv.pad_left) = (3, 3, 1, 1, 1);
        (conv.oh, conv.ow) = (conv.h << conv.up, conv.w << conv.up);
    }
    let co = up(conv.co, "OUT");
    let unit = up(1, "OUT");
    let temb = (co + (conv.temb.0 + conv.temb.1) * unit, conv.temb.0 * unit);
    Conv { ci: up(conv.ci, "IN"), co, temb, silu: v.get("SILU") == 1, ..conv }
}

fn check(kernel: &'static Kernel) {
    twin(&[kernel], 200, shapes(), |t, caps, &(conv, (temb, res), seed)| {
        // All variants, once: the capabilities do not choose here.
        if *caps != Caps::CORE {
            return Ok(());
        }
        let here = super::harness::rig().caps;
        // One variant a case keeps this short: each meets dozens of shapes.
        let mut met: Vec<&Variant> = kernel.variants.iter().filter(|v| here.meets(v.needs)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let many = met.len();
        met.rotate_left(seed as usize % many);
        for v in met.into_iter().take(many.min(2)) {
            let conv = fitted(conv, v);
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
            ];
            let buffers = ConvBuffers {
                x: 0,
                weight: 1,
                bias: 2,
                temb: temb.then_some(3),
                res: res.then_some(4),
                y: 5,
                dummy: 6,
            };
            t.run(&[conv.call((kernel, v), buffers)], &mut arrays)?;
            let want =
                conv.reference(&x, &weight, Some(&bias), temb.then_some(&emb[..]), res.then_some(&skip[..]));
            compare(&arrays[5], &want, TOLERANCE).map_err(|e| format!("{}: {e}", v.name))?;
        }
        Ok(())
    });
}

#[test]
fn tile_matches() {
    check(&conv::TILE);
}

#[test]
fn stream_matches() {
    check(&conv::STREAM);
}

#[test]
fn stream_of_rows_matches() {
    check(&conv::STREAM3);
}

#[test]
fn every_shape_finds_a_variant_that_takes_it() {
    let caps = [
        Caps::CORE,
        Caps { stream: true, ..Caps::CORE },
        Caps { stream: true, subgroup: Some(8), int64: true, images: false },
        Caps { stream: true, subgroup: Some(8), int64: true, images: true },
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
            let fit = fitted(conv, v);
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
