//! Noise far out in the tails: bit for bit.

use super::harness::rig;
use undiffuse::kernels::noise::{self, Noise};

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
