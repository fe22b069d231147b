//! The kernels of a sampler's instructions.

use super::harness::{bits, compare, data, floats, twin, TOLERANCE};
use proptest::prelude::*;
use undiffuse::kernels::advance::{self, Advance};
use undiffuse::kernels::fill::{self, Fill};
use undiffuse::kernels::gate::{self, Gate, Mode};
use undiffuse::kernels::mean::{self, Mean};
use undiffuse::kernels::mix::{self, Mix, Term};
use undiffuse::kernels::pointwise::{self, Function, Pointwise};
use undiffuse::kernels::quantile::{self, Quantile};
use undiffuse::kernels::reduce::{self, Reduce, Sum};
use undiffuse::kernels::scalar::{self, cubic_table, Op, Operand, Scalar};
use undiffuse::kernels::select::{self, Select};
use undiffuse::kernels::{Numbers, Reference};

/// (n, pixels, c) with c a multiple of four half of the time.
fn shape() -> impl Strategy<Value = (usize, usize, usize)> {
    (1usize..5, 1usize..40, 1usize..12, any::<bool>())
        .prop_map(|(n, p, c, q)| (n, p, if q { 4 * c } else { c }))
}

#[test]
fn mix_matches() {
    let term = (0usize..3, 0usize..3, prop::option::of(0u32..3));
    let terms = prop::collection::vec(term, 1..5);
    let s = (
        shape(),
        terms,
        any::<bool>(),
        any::<bool>(),
        prop_oneof![2 => Just(0), 1 => Just(1), 1 => Just(2)],
        any::<u64>(),
    );
    twin(&[&mix::KERNEL], 600, s, |t, caps, ((n, pixels, c), terms, accumulate, clamp, dense, seed)| {
        let unit = if c % 4 == 0 && *seed % 8 != 0 { 4 } else { 1 };
        let terms: Vec<Term> = terms
            .iter()
            .map(|(from, rest, slot)| match dense {
                0 => Term { channels: c + (from + rest) * unit, from: from * unit, slot: *slot },
                1 => Term { channels: *c, from: 0, slot: *slot },
                _ => Term { channels: *c, from: 0, slot: None },
            })
            .collect();
        let op = Mix { n: *n, pixels: *pixels, c: *c, terms, accumulate: *accumulate, clamp: *clamp };
        let k = op.terms.len();
        let mut arrays = vec![
            bits(&data(seed ^ 1, n * pixels * c)),
            vec![3],
            bits(&data(seed ^ 2, 4 * 9)),
            bits(&data(seed ^ 3, 3 * n)),
        ];
        let (lo, hi) = (-1.5f32, 0.75f32);
        arrays[2][3 * 9 + 1 + k + 1] = lo.to_bits();
        arrays[2][3 * 9 + 1 + k + 2] = hi.to_bits();
        let row = floats(&arrays[2][28..]);
        let srcs: Vec<Vec<f32>> = op
            .terms
            .iter()
            .enumerate()
            .map(|(i, t)| data(seed ^ (9 + i as u64), n * pixels * t.channels))
            .collect();
        let slots = floats(&arrays[3]);
        let refs: Vec<&[f32]> = srcs.iter().map(Vec::as_slice).collect();
        let want = op.reference(&row, &refs, &slots, &floats(&arrays[0]));
        arrays.extend(srcs.iter().map(|s| bits(s)));
        let names: Vec<usize> = (4..4 + k).collect();
        let numbers = Numbers { counter: 1, table: 2, stride: 9, offset: 1 };
        t.run(&op.calls(caps, &names, 0, &numbers, Some(3)), &mut arrays)?;
        compare(&arrays[0], &want, TOLERANCE)
    });
}

#[test]
fn pointwise_matches() {
    let s = (1usize..5, 1usize..200, 0usize..8, any::<bool>(), 0u32..3, any::<u64>());
    twin(&[&pointwise::KERNEL], 300, s, |t, caps, &(n, len, f, fours, slot, seed)| {
        let f = match Function::ALL[f] {
            Function::ClampSlot(_) => Function::ClampSlot(slot),
            Function::MulSlot(_) => Function::MulSlot(slot),
            Function::DivSlot(_) => Function::DivSlot(slot),
            f => f,
        };
        let op = Pointwise { n, len: if fours { 4 * len } else { len }, f };
        let a = data(seed, n * op.len);
        let mut second = data(seed ^ 1, if f.binary() { n * op.len } else { 3 * n });
        for v in &mut second {
            *v = v.abs() + 0.01;
        }
        // Row 1 of a table with 3 words a row, from word 1 on.
        let row = [0.7f32, -0.4];
        let table = vec![0, 0, 0, 0, row[0].to_bits(), row[1].to_bits()];
        let numbers = Numbers { counter: 3, table: 4, stride: 3, offset: 1 };
        let mut arrays = vec![bits(&a), bits(&second), vec![0; n * op.len], vec![1], table];
        t.run(&op.calls(caps, 0, Some(1), 2, &numbers), &mut arrays)?;
        compare(&arrays[2], &op.reference(&a, &second, &row), TOLERANCE)
    });
}

#[test]
fn select_copies_bits() {
    let s = (1usize..5, 1usize..200, any::<bool>(), 0u32..3, any::<u64>());
    twin(&[&select::KERNEL], 200, s, |t, caps, &(n, len, fours, slot, seed)| {
        let op = Select { n, len: if fours { 4 * len } else { len }, slot };
        let (mut a, mut b) = (data(seed, n * op.len), data(seed ^ 1, n * op.len));
        a[0] = f32::INFINITY;
        b[n * op.len - 1] = f32::NAN;
        let slots: Vec<f32> = data(seed ^ 2, 3 * n).iter().map(|v| v.max(0.0)).collect();
        let mut arrays = vec![bits(&a), bits(&b), bits(&slots), vec![0; n * op.len]];
        t.run(&op.calls(caps, 0, 1, 2, 3), &mut arrays)?;
        (arrays[3] == bits(&op.reference(&a, &b, &slots))).then_some(()).ok_or_else(|| "bits differ".into())
    });
}

#[test]
fn reduce_matches() {
    let s = (1usize..5, 1usize..2000, 0usize..3, 0u32..3, any::<u64>());
    twin(&[&reduce::KERNEL], 200, s, |t, caps, &(n, len, kind, slot, seed)| {
        let error = |greater| Sum::Error { atol: 0.01, rtol: 0.05, greater };
        let sum = [Sum::Squares, Sum::Dot, error(false), error(true)][kind];
        let op = Reduce { n, len, slot, scale: 1.0 / len as f32, root: seed % 2 == 0 && kind != 1, sum };
        let srcs: Vec<Vec<f32>> = (0..[1, 2, 3][kind]).map(|i| data(seed ^ i, n * len)).collect();
        let mut arrays: Vec<_> = srcs.iter().map(|s| bits(s)).collect();
        let slots = arrays.len();
        arrays.push(vec![0; 3 * n]);
        let names: Vec<usize> = (0..slots).collect();
        t.run(&op.calls(caps, &names, slots), &mut arrays)?;
        let refs: Vec<&[f32]> = srcs.iter().map(Vec::as_slice).collect();
        let (before, rest) = arrays[slots].split_at(slot as usize * n);
        let (mine, behind) = rest.split_at(n);
        if before.iter().chain(behind).any(|w| *w != 0) {
            return Err("another slot was written".into());
        }
        compare(mine, &op.reference(&refs), TOLERANCE)
    });
}

#[test]
fn quantile_is_exact() {
    let q = prop_oneof![Just(0.0), Just(1.0), Just(0.995), 0.0..1.0];
    let s = (1usize..5, 1usize..2000, q, 0u32..3, any::<bool>(), any::<u64>());
    twin(&[&quantile::KERNEL], 200, s, |t, caps, &(n, len, q, slot, ties, seed)| {
        let op = Quantile { n, len, slot, q, least: if seed % 2 == 0 { 1.0 } else { 0.0 }, most: 5.0 };
        let mut x = data(seed, n * len);
        if ties {
            x.iter_mut().for_each(|v| *v = (*v * 4.0).round() / 4.0);
        }
        let mut arrays = vec![bits(&x), vec![0; 3 * n]];
        t.run(&op.calls(caps, 0, 1), &mut arrays)?;
        compare(&arrays[1][slot as usize * n..][..n], &op.reference(&x), 2e-7)
    });
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        (0u32..5).prop_map(Operand::Slot),
        (0u32..3).prop_map(Operand::Number),
        (-3.0f32..3.0).prop_map(Operand::Const)
    ]
}

/// One operation, exactly as computed from the f32 values.
#[test]
fn scalar_matches() {
    let s = (0usize..17, operand(), operand(), operand(), 0u32..5, 1usize..100, any::<u64>());
    twin(&[&scalar::KERNEL], 400, s, |t, caps, &(kind, a, b, c, dst, n, seed)| {
        let pieces: [[f64; 4]; 3] = [[0.5, 1.0, -0.25, 2.0], [3.25, -1.0, 0.0, 0.5], [2.75, 0.0, 1.0, 1.0]];
        let table: Vec<f32> = [vec![9.0], cubic_table(&[-1.0, -0.25, 0.5, 1.25], &pieces)].concat();
        let ops = [
            Op::Move(a),
            Op::Add(a, b),
            Op::Sub(a, b),
            Op::Mul(a, b),
            Op::Div(a, b),
            Op::Min(a, b),
            Op::Max(a, b),
            Op::Sqrt(a),
            Op::Exp(a),
            Op::Log(a),
            Op::Less(a, b),
            Op::Select(a, b, c),
            Op::Abs(a),
            Op::Fma(a, b, c),
            Op::Table(a, 1),
            Op::LessEqual(a, b),
            Op::Floor(a),
        ];
        let op = Scalar { ops: vec![(1, Op::Move(Operand::Const(0.0))), (dst, ops[kind])] };
        // Positive where a logarithm or a quotient looks.
        let fix = |v: f32| if matches!(kind, 4 | 9) { v.abs() + 0.1 } else { v };
        let op = match (kind, a, b) {
            (4, _, Operand::Const(_)) | (9, Operand::Const(_), _) => Scalar { ops: vec![(dst, Op::Abs(b))] },
            (4, _, Operand::Slot(1)) | (9, Operand::Slot(1), _) => Scalar { ops: vec![(dst, Op::Abs(b))] },
            _ => op,
        };
        let slots: Vec<f32> = data(seed, 5 * n).into_iter().map(fix).collect();
        let numbers: Vec<f32> = data(seed ^ 1, 8).into_iter().map(fix).collect();
        let code = [vec![77, 78], op.encode()].concat();
        let mut arrays = vec![code, bits(&table), vec![1], bits(&numbers), bits(&slots)];
        let place = Numbers { counter: 2, table: 3, stride: 4, offset: 1 };
        t.run(&op.calls(caps, n, 2, 0, 1, &place, 4), &mut arrays)?;
        let mut want = Reference { value: vec![0.0; 5 * n], magnitude: vec![0.0; 5 * n] };
        for i in 0..n {
            let mut mine: Vec<f64> = (0..5).map(|s| f64::from(slots[s * n + i])).collect();
            op.reference(&numbers[5..], &table, &mut mine);
            for (s, v) in mine.iter().enumerate() {
                want.value[s * n + i] = *v;
                want.magnitude[s * n + i] = if kind == 8 { v.abs() * 50.0 } else { v.abs() + 20.0 };
            }
        }
        compare(&arrays[4], &want, 1e-6)
    });
}

#[test]
fn fill_and_advance_match() {
    let s = (1usize..200, 1usize..6, 0usize..9, 0u32..3, any::<u64>());
    twin(&[&fill::KERNEL, &advance::KERNEL], 200, s, |t, caps, &(n, len, at, slot, seed)| {
        let op = Fill { n, len, at };
        let table = data(seed, 12);
        let slots = data(seed ^ 1, 3 * n);
        let mut arrays = vec![vec![0; n * len + 9], vec![40], bits(&table), bits(&slots)];
        let numbers = Numbers { counter: 1, table: 2, stride: 3, offset: 2 };
        let mut calls = Advance::To(1).calls(caps, 1);
        calls.extend(Advance::By(2).calls(caps, 1));
        calls.extend(op.calls(caps, 0, &numbers));
        t.run(&calls, &mut arrays)?;
        let good = arrays[1] == [3] && arrays[0][at..][..n * len].iter().all(|w| *w == table[11].to_bits());
        let spread = |factor: f32| -> Vec<f32> {
            let row = slots[slot as usize * n..][..n].iter();
            row.flat_map(|v| std::iter::repeat_n(v * factor, len)).collect()
        };
        t.run(&op.calls_slot(caps, 0, 3, slot), &mut arrays)?;
        let good = good && floats(&arrays[0][at..][..n * len]) == spread(1.0);
        t.run(&op.calls_slot_times(caps, 0, 3, slot, &numbers), &mut arrays)?;
        let good = good && floats(&arrays[0][at..][..n * len]) == spread(table[11]);
        let outside = arrays[0].iter().enumerate().all(|(i, w)| (at..at + n * len).contains(&i) || *w == 0);
        (good && outside).then_some(()).ok_or_else(|| format!("{:?}", arrays[0]))
    });
}

/// The batch's mean, for one image and for more than a workgroup has lanes.
#[test]
fn mean_matches() {
    let s = (1usize..300, 0u32..4, 0u32..4, any::<u64>());
    twin(&[&mean::KERNEL], 200, s, |t, caps, &(n, from, to, seed)| {
        let op = Mean { n, from, to };
        let slots = data(seed, 4 * n);
        let mut arrays = vec![bits(&slots)];
        t.run(&op.calls(caps, 0), &mut arrays)?;
        let mut want = Reference::default();
        for (i, v) in slots.iter().enumerate() {
            let written = i / n == to as usize;
            want.push(
                if written { op.reference(&slots) } else { f64::from(*v) },
                if written { 4.0 } else { 0.0 },
            );
        }
        compare(&arrays[0], &want, 1e-6)
    });
}

/// A loop's gate: every mode, open and shut, with images that are done and not.
#[test]
fn gate_matches() {
    let s = (1usize..200, 0usize..3, 0u32..2, 0usize..130, 0usize..4, any::<u64>());
    twin(&[&gate::KERNEL], 400, s, |t, caps, &(n, left, shut, count, mode, seed)| {
        let mode = [Mode::Pass, Mode::Again, Mode::Enter, Mode::Leave][mode];
        let op = Gate { n, slot: 1, places: count, mode };
        let mut slots = vec![1.0f32; 3 * n];
        (0..left).for_each(|i| slots[n + (seed as usize + 7 * i) % n] = if i == 0 { 0.0 } else { -0.0 });
        let mut status = vec![shut, (seed % 900) as u32];
        let places: Vec<u32> = (0..count as u32).flat_map(|i| [3 * i + 1, i % 7]).collect();
        let mut parameters: Vec<u32> = (0..3 * count as u32 + 2).map(|i| 1000 + i).collect();
        let mut arrays =
            vec![bits(&slots), status.clone(), [places.clone(), vec![9, 9]].concat(), parameters.clone()];
        t.run(&op.calls(caps, 0, 1, 2, 3), &mut arrays)?;
        op.reference(&slots, &mut status, &places, &mut parameters);
        let good = arrays[1] == status && arrays[3] == parameters && arrays[0] == bits(&slots);
        good.then_some(()).ok_or_else(|| format!("{mode:?}: {:?} {:?}", arrays[1], arrays[3]))
    });
}
