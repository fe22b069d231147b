//! Kernels of forward-mode derivatives.

use crate::harness::*;
use proptest::prelude::*;
use undiffuse::kernels::act_tangent::{self, ActTangent};
use undiffuse::kernels::activation::Activation;
use undiffuse::kernels::attention_tangent::{self, AttentionTangent};
use undiffuse::kernels::norm_tangent::{self, NormTangent};

#[test]
fn activations() {
    let s = (1usize..400, 1usize..9, any::<u64>());
    twin(&[&act_tangent::KERNEL], 300, s, |t, caps, &(len, act, seed)| {
        let op = ActTangent { len, act: Activation::ALL[act] };
        let x: Vec<f32> = data(seed, len).iter().map(|v| 3.0 * v).collect();
        let dx = data(seed ^ 1, len);
        let mut arrays = vec![bits(&x), bits(&dx), vec![0; len]];
        t.run(&op.calls(caps, 0, 1, 2), &mut arrays)?;
        compare(&arrays[2], &op.reference(&x, &dx), 1e-5)
    });
}

#[test]
fn group_norms() {
    let s = (1usize..4, prop_oneof![1usize..70, 900usize..1100], 1usize..34, 1usize..9, any::<u64>());
    twin(&[&norm_tangent::KERNEL], 200, s, |t, caps, &(n, pixels, groups, width, seed)| {
        let op = NormTangent { n, pixels, c: groups * width, groups, eps: 1e-5 };
        let len = n * pixels * op.c;
        let (x, dx, gamma) = (data(seed, len), data(seed ^ 1, len), data(seed ^ 2, op.c));
        let mut arrays = vec![bits(&x), bits(&dx), bits(&gamma), vec![0; len]];
        t.run(&op.calls(caps, 0, 1, 2, 3), &mut arrays)?;
        compare(&arrays[3], &op.reference(&x, &dx, &gamma), 1e-5)
    });
}

#[test]
fn attention() {
    let heads = prop_oneof![1usize..40, Just(8), Just(16), 65usize..130, 200usize..260, 400usize..600];
    let s = (1usize..4, 1usize..20, 1usize..20, 1usize..4, heads, any::<u64>());
    twin(
        &[&attention_tangent::KERNEL, &attention_tangent::SMALL],
        200,
        s,
        |t, caps, &(n, tokens_q, tokens_k, heads, d, seed)| {
            let op = AttentionTangent { n, tokens_q, tokens_k, heads, d, scale: 1.0 / (d as f32).sqrt() };
            let (q, k) = (n * tokens_q * heads * d, n * tokens_k * heads * d);
            let inputs: Vec<Vec<f32>> = [q, k, k, q, k, k]
                .into_iter()
                .enumerate()
                .map(|(i, len)| data(seed ^ i as u64, len))
                .collect();
            let mut arrays: Vec<Vec<u32>> = inputs.iter().map(|v| bits(v)).collect();
            arrays.push(vec![0; q]);
            t.run(&op.calls(caps, [0, 1, 2, 3, 4, 5], 6), &mut arrays)?;
            let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            compare(&arrays[6], &op.reference(slices.try_into().expect("six")), 1e-5)
        },
    );
}
