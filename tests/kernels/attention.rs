//! Attention of wide heads and large scores.

use super::harness::{bits, compare, data, rig, TOLERANCE};
use undiffuse::kernels::attention::{Attention, Place};
use undiffuse::kernels::Caps;

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
            images: false,
            to_image: false,
        };
        let x = [19, 35, 35].map(|t| data(t as u64 + d as u64, t * d));
        let q: Vec<f32> = x[0].iter().map(|v| v * size).collect();
        for caps in [Caps::CORE, rig().caps] {
            let op = Attention { images: op.wants_images(&caps), ..op };
            let mut arrays = vec![bits(&q), bits(&x[1]), bits(&x[2]), vec![0; 19 * d]];
            rig().run(&op.calls(&caps, 0, 1, 2, 3), &mut arrays).unwrap();
            compare(&arrays[3], &op.reference(&q, &x[1], &x[2]), TOLERANCE).unwrap();
        }
    }
}
