//! Attention: all families, dense and fused places, cross lengths, wide and odd heads.

use super::harness::{bits, compare, data, rig, twin, TOLERANCE};
use proptest::prelude::*;
use undiffuse::kernels::attention::{self, Attention, Place};
use undiffuse::kernels::Caps;

#[test]
fn attention_matches() {
    let d =
        prop_oneof![Just(8usize), Just(16), 1usize..20, (1usize..10).prop_map(|d| 4 * d), Just(68), Just(70)];
    let s = (1usize..4, 1usize..40, 1usize..40, 1usize..4, d, 0usize..3, any::<u64>());
    let kernels = [&attention::TILE, &attention::STREAM, &attention::SMALL];
    twin(&kernels, 200, s, |t, caps, &(n, tokens_q, tokens_k, heads, d, place, seed)| {
        let tokens_k = if place > 0 { tokens_q } else { tokens_k };
        let [q, k, v] = match place {
            0 => [
                Place::dense(heads, d),
                Place::dense(heads, d),
                Place { stride: heads * d + 4, at: 4, head: d },
            ],
            1 => [0, 1, 2].map(|i| Place::fused(i, heads, d)),
            _ => [0, 1, 2].map(|i| Place { stride: 3 * heads * d, at: i * d, head: 3 * d }),
        };
        let op = Attention { n, tokens_q, tokens_k, heads, d, scale: 1.0 / (d as f32).sqrt(), q, k, v };
        let size = |tokens: usize, p: Place, salt: u64| data(seed ^ salt, n * tokens * p.stride);
        let x = [size(tokens_q, q, 1), size(tokens_k, k, 2), size(tokens_k, v, 3)];
        let mut arrays = vec![bits(&x[0]), bits(&x[1]), bits(&x[2]), vec![0; n * tokens_q * heads * d]];
        let [a, b, c] = if place > 0 { [0; 3] } else { [0, 1, 2] };
        t.run(&op.calls(caps, a, b, c, 3), &mut arrays)?;
        compare(&arrays[3], &op.reference(&x[a], &x[b], &x[c]), TOLERANCE)
    });
}

/// Wide heads, and scores so large that a softmax without the maximum overflows.
#[test]
fn wide_heads_and_large_scores() {
    for (d, size) in [(256, 1.0f32), (300, 1.0), (509, 1.0), (512, 1.0), (40, 30.0)] {
        let place = Place::dense(1, d);
        let op = Attention {
            n: 1,
            tokens_q: 19,
            tokens_k: 35,
            heads: 1,
            d,
            scale: 0.1,
            q: place,
            k: place,
            v: place,
        };
        let x = [19, 35, 35].map(|t| data(t as u64 + d as u64, t * d));
        let q: Vec<f32> = x[0].iter().map(|v| v * size).collect();
        for caps in [Caps::CORE, rig().caps] {
            let mut arrays = vec![bits(&q), bits(&x[1]), bits(&x[2]), vec![0; 19 * d]];
            rig().run(&op.calls(&caps, 0, 1, 2, 3), &mut arrays).unwrap();
            compare(&arrays[3], &op.reference(&q, &x[1], &x[2]), TOLERANCE).unwrap();
        }
    }
}
