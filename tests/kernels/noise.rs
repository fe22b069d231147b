//! Noise: bit for bit.

use super::harness::{rig, twin};
use proptest::prelude::*;
use undiffuse::kernels::noise::{self, Noise};
use undiffuse::kernels::Numbers;

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..4, any::<u64>(), (u64::MAX - 3)..=u64::MAX, Just(u64::from(u32::MAX)), Just(1 << 32)]
}

#[test]
fn matches_the_host_bit_for_bit() {
    let shapes = (1usize..5, 0usize..150, word(), word(), any::<u32>(), any::<u32>(), any::<bool>());
    twin(&[&noise::KERNEL], 250, shapes, |t, caps, &(n, len, first, seed, draw, other, fours)| {
        let op = Noise { n, len: if fours { len * 4 } else { len }, first, seed, draw };
        let want: Vec<u32> = op.reference().iter().map(|x| x.to_bits()).collect();
        let mut arrays = vec![noise::table_words(), vec![7; n * op.len]];
        t.run(&op.calls(caps, 0, 1), &mut arrays)?;
        prop_eq(&arrays[1], &want)?;
        // Row 2 of a table with 3 words a row, word 1; the parameter is added.
        let numbers = Numbers { counter: 2, table: 3, stride: 3, offset: 1 };
        let tabled = Noise { draw: other, ..op };
        let counter = vec![2, first as u32, (first >> 32) as u32, seed as u32, (seed >> 32) as u32];
        let mut arrays = vec![noise::table_words(), vec![7; n * op.len], counter, vec![0; 9]];
        arrays[3][7] = draw.wrapping_sub(other);
        t.run(&tabled.calls_tabled(caps, 0, 1, &numbers), &mut arrays)?;
        prop_eq(&arrays[1], &want)
    });
}

fn prop_eq(got: &[u32], want: &[u32]) -> Result<(), String> {
    match got.iter().zip(want).position(|(a, b)| a != b) {
        None if got.len() == want.len() => Ok(()),
        at => Err(format!("bits differ at {at:?}")),
    }
}

/// Every octave and segment of the table, both signs: words whose numbers the
/// GPU would meet once in centuries are met by searching seeds on the host.
#[test]
fn rare_words_match_too() {
    // Blocks of image 0 in which some word is far out in a tail.
    let mut found = 0;
    let (mut best, mut hit) = (0, 0);
    for image in 0..200_000u64 {
        let w = noise::philox([0, 0, image as u32, 0], 42);
        for w in w {
            let q = noise::quantile(w);
            if q > best {
                (best, hit, found) = (q, image, found + 1);
            }
        }
    }
    assert!(found > 3 && best > 4 << 29);
    let op = Noise { n: 1, len: 4, first: hit, seed: 42, draw: 0 };
    let mut arrays = vec![noise::table_words(), vec![0; 4]];
    rig().run(&op.calls(&rig().caps, 0, 1), &mut arrays).unwrap();
    let want: Vec<u32> = op.reference().iter().map(|x| x.to_bits()).collect();
    assert_eq!(arrays[1], want);
}
