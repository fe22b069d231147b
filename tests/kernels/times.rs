//! Times on the adapter here: `cargo test --release --test kernels times -- --ignored --nocapture`.

use super::harness::{bits, data, rig};
use undiffuse::kernels::activation::Activation;
use undiffuse::kernels::attention::{Attention, Place};
use undiffuse::kernels::elementwise::{Elementwise, Second};
use undiffuse::kernels::noise::{table_words, Noise};
use undiffuse::kernels::norm::GroupNorm;
use undiffuse::kernels::{Call, Caps};

fn report(what: &str, calls: &[Call<usize>], arrays: &[Vec<u32>]) {
    println!("{what:48} {:8.3} ms", rig().time(calls, arrays) * 1e3);
}

#[test]
#[ignore = "a measurement"]
fn times() {
    let tile = Caps { stream: false, ..rig().caps };
    for (name, caps) in [("gpu", tile), ("stream", Caps { stream: true, ..tile })] {
        for (n, side, c) in [(4, 32, 128), (1, 32, 128), (1, 8, 512)] {
            let op =
                GroupNorm { n, pixels: side * side, c, groups: 32, eps: 1e-5, activation: Activation::Silu };
            let x = bits(&data(1, n * side * side * c));
            let arrays = vec![
                x.clone(),
                bits(&data(2, c)),
                bits(&data(3, c)),
                vec![0; op.part_len(&caps)],
                vec![0; op.coef_len()],
                x,
            ];
            let stats = op.statistics(&caps, 0, 1, 2, None, 3, 4);
            let what = format!("{name} norm {n} x {side} x {side} x {c}");
            report(&format!("{what} stats"), &stats[..1], &arrays);
            report(&format!("{what} finish"), &stats[1..], &arrays);
            report(&format!("{what} apply"), &op.apply(&caps, 0, 4, 5), &arrays);
        }
        for (n, tokens, heads, d) in
            [(1, 256, 1, 256), (4, 256, 1, 256), (1, 256, 8, 8), (1, 1024, 4, 64), (1, 64, 1, 512)]
        {
            let [q, k, v] = [0, 1, 2].map(|i| Place::fused(i, heads, d));
            let op = Attention {
                n,
                tokens_q: tokens,
                tokens_k: tokens,
                heads,
                d,
                scale: 1.0 / (d as f32).sqrt(),
                q,
                k,
                v,
            };
            let arrays = vec![bits(&data(1, n * tokens * 3 * heads * d)), vec![0; n * tokens * heads * d]];
            report(
                &format!("{name} attention {n} x {tokens} tokens, {heads} x {d}"),
                &op.calls(&caps, 0, 0, 0, 1),
                &arrays,
            );
        }
    }
    let caps = rig().caps;
    let (n, pixels, c) = (4, 1024, 128);
    let arrays =
        vec![bits(&data(1, n * pixels * c)), bits(&data(2, n * pixels * c)), vec![0; n * pixels * c]];
    let op = Elementwise { n, pixels, c, ca: 1.0, cb: 1.0, second: Second::Same, ..Default::default() };
    report("elementwise 4 x 32 x 32 x 128, a + b", &op.calls(&caps, 0, Some(1), 2), &arrays);
    let noise = Noise { n: 16, len: 3072, ..Default::default() };
    report("noise 16 x 32 x 32 x 3", &noise.calls(&caps, 0, 1), &[table_words(), vec![0; 16 * 3072]]);
}
