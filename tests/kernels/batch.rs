//! An image's bits do not depend on the batch it is in.

use super::harness::{bits, data, rig};
use undiffuse::kernels::activation::Activation;
use undiffuse::kernels::attention::{Attention, Place};
use undiffuse::kernels::norm::{GroupNorm, Part};
use undiffuse::kernels::reduce::{Reduce, Sum};
use undiffuse::kernels::Caps;

/// `run` gives the output of a batch of `n` for an input of `n * len` numbers.
fn same(what: &str, len: usize, run: impl Fn(&Caps, usize, Vec<u32>) -> Vec<u32>) {
    for caps in rig().caps_list() {
        let x = bits(&data(5, 3 * len));
        let all = run(&caps, 3, x.clone());
        let out = all.len() / 3;
        for i in 0..3 {
            let one = run(&caps, 1, x[i * len..][..len].to_vec());
            assert_eq!(one, all[i * out..][..out], "{what}, image {i}, {caps:?}");
        }
    }
}

#[test]
fn images_do_not_depend_on_their_batch() {
    for (pixels, c, groups) in [(256, 32, 8), (45, 15, 5), (1000, 12, 1)] {
        same("norm", pixels * c, |caps, n, x| {
            let op = GroupNorm { n, pixels, c, groups, eps: 1e-5, activation: Activation::Silu };
            let affine = bits(&data(1, c));
            let out = vec![0; x.len()];
            let mut arrays =
                vec![x, affine.clone(), affine, vec![0; op.part_len(caps)], vec![0; op.coef_len()], out];
            let xs = [Part { tensor: 0, channels: c, image: op.reads_image(caps, [c]) }];
            let mut calls = op.statistics(caps, &xs, 1, 2, None, 3, 4);
            calls.extend(op.apply(caps, &xs, 4, 5, op.writes_image(caps, [c])));
            rig().run(&calls, &mut arrays).unwrap();
            arrays.pop().unwrap()
        });
    }
    for (tokens, heads, d) in [(50, 2, 8), (33, 1, 40), (20, 1, 70)] {
        same("attention", tokens * 3 * heads * d, |caps, n, x| {
            let [q, k, v] = [0, 1, 2].map(|i| Place::fused(i, heads, d));
            let op = Attention {
                n,
                tokens_q: tokens,
                tokens_k: tokens,
                heads,
                d,
                scale: 0.2,
                q,
                k,
                v,
                images: false,
                to_image: false,
            };
            let mut arrays = vec![x, vec![0; n * tokens * heads * d]];
            rig().run(&op.calls(caps, 0, 0, 0, 1), &mut arrays).unwrap();
            arrays.pop().unwrap()
        });
    }
    same("reduce", 3000, |caps, n, x| {
        let op = Reduce { n, len: 3000, slot: 0, scale: 1.0, root: false, sum: Sum::Squares };
        let mut arrays = vec![x, vec![0; n]];
        rig().run(&op.calls(caps, &[0], 1), &mut arrays).unwrap();
        arrays.pop().unwrap()
    });
}
