//! Gaussian noise, the same bits on every adapter and on the host.
//!
//! A number is a function of (seed, image index, draw, element): Philox 4x32-10
//! with the seed as key and `[element / 4, draw, index lo, index hi]` as counter
//! gives four words for four elements (NHWC order). Each 32-bit word goes through
//! the inverse normal distribution: sign from bit 31, magnitude the quantile at
//! `(w[30..0] + 1/2) / 2^32`, by 32 octaves of 32 cubics in fixed point
//! (`noise_table.rs`), rounded to f32 by integer arithmetic.
//!
//! Facts (`cargo test --test noise -- --ignored --nocapture`); moments, largest and
//! resolution are over all 2^32 words, the error over every 1009th and both ends:
//!
//! | | |
//! | --- | --- |
//! | error against the exact quantile | at most 1.33 units of 2^-29 (2.5e-9), then f32 rounding |
//! | odd moments | 0 exactly: each magnitude occurs with both signs |
//! | moments 2, 4, 6, 8 | 0.99999999961, 2.999999973, 14.99999824, 104.999899 |
//! | largest magnitude | 6.337958 (tail 2^-33) |
//! | resolution | 2^-29 near 0, f32 above |
//! | 1e8 draws of seed 1 | Kolmogorov-Smirnov 0.775 / sqrt(n), mean 6.1e-5, variance 1.00028, largest 6.03 |
//!
//! The variance is 1 within 4e-10: sampling error hides that below 1e18 draws.

use super::check::{same, Case};
use super::noise_table::TABLE;
use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Variant};

/// `noise.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "noise",
    check,
    source: include_str!("../../shaders/noise.wgsl"),
    variants: &[
        Variant { name: "vec4", defines: &[("VEC4", 1), ("TABLED", 0)], needs: Needs::NONE },
        Variant { name: "scalar", defines: &[("VEC4", 0), ("TABLED", 0)], needs: Needs::NONE },
        Variant { name: "vec4_tabled", defines: &[("VEC4", 1), ("TABLED", 1)], needs: Needs::NONE },
        Variant { name: "scalar_tabled", defines: &[("VEC4", 0), ("TABLED", 1)], needs: Needs::NONE },
    ],
};

/// Standard normal numbers for the images `first .. first + n`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// Images.
    pub n: usize,
    /// Numbers per image.
    pub len: usize,
    /// Index of the first image.
    pub first: u64,
    /// The seed.
    pub seed: u64,
    /// Which draw of the image; added to the table's, where there is one.
    pub draw: u32,
}

impl Noise {
    /// `table` holds [`table_words`], `dst` is `[n, len]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, table: B, dst: B) -> Vec<Call<B>> {
        self.build(caps, table, dst, None)
    }

    /// As [`Noise::calls`]; the draw is `self.draw` plus a `u32` in the table of
    /// numbers, and the words 1 to 4 of the counter buffer are the index of the first
    /// image and the seed, low words first, so that one plan serves all batches.
    pub fn calls_tabled<B: Clone>(
        &self,
        caps: &Caps,
        table: B,
        dst: B,
        numbers: &Numbers<B>,
    ) -> Vec<Call<B>> {
        self.build(caps, table, dst, Some(numbers))
    }

    fn build<B: Clone>(&self, caps: &Caps, table: B, dst: B, numbers: Option<&Numbers<B>>) -> Vec<Call<B>> {
        let vec4 = u32::from(KERNEL.vectors(caps, self.len.is_multiple_of(4)));
        let tabled = u32::from(numbers.is_some());
        let variant = KERNEL.pick(caps, |v| v.get("VEC4") == vec4 && v.get("TABLED") == tabled);
        let blocks = div_up(self.len, 4);
        let mut bindings = vec![("table", table), ("dst", dst)];
        let (mut stride, mut offset) = (0, 0);
        if let Some(numbers) = numbers {
            bindings.push(("counter", numbers.counter.clone()));
            bindings.push(("numbers", numbers.table.clone()));
            (stride, offset) = (numbers.stride, numbers.offset);
        }
        let params = vec![
            ("total", ((self.n * blocks) as u32).into()),
            ("len", (self.len as u32).into()),
            ("blocks", (blocks as u32).into()),
            ("first_lo", (self.first as u32).into()),
            ("first_hi", ((self.first >> 32) as u32).into()),
            ("seed_lo", (self.seed as u32).into()),
            ("seed_hi", ((self.seed >> 32) as u32).into()),
            ("draw", self.draw.into()),
            ("stride", stride.into()),
            ("offset", offset.into()),
        ];
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n * blocks, 64))
    }

    /// What the kernel writes, bit for bit.
    pub fn reference(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.n * self.len];
        for (i, image) in out.chunks_exact_mut(self.len.max(1)).enumerate() {
            fill(self.seed, self.first.wrapping_add(i as u64), self.draw, image);
        }
        out
    }
}

/// The contents of the kernel's `table`.
pub fn table_words() -> Vec<u32> {
    TABLE.as_flattened().to_vec()
}

/// The numbers of an image, from its first element on.
pub fn fill(seed: u64, image: u64, draw: u32, out: &mut [f32]) {
    for (block, four) in out.chunks_mut(4).enumerate() {
        let words = philox([block as u32, draw, image as u32, (image >> 32) as u32], seed);
        for (x, w) in four.iter_mut().zip(words) {
            *x = gaussian(w);
        }
    }
}

/// FNV-1a (64 bits) of the bits of the first 4096 numbers of image 0, draw 0,
/// as little-endian bytes: equal on every machine.
pub fn noise_hash(seed: u64) -> u64 {
    let mut x = [0.0; 4096];
    fill(seed, 0, 0, &mut x);
    fnv(x.iter().map(|v| v.to_bits()))
}

/// FNV-1a (64 bits) of words as little-endian bytes.
pub fn fnv(words: impl Iterator<Item = u32>) -> u64 {
    words
        .flat_map(u32::to_le_bytes)
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Philox 4x32-10.
pub fn philox(mut c: [u32; 4], seed: u64) -> [u32; 4] {
    let mut k = [seed as u32, (seed >> 32) as u32];
    for _ in 0..10 {
        let a = 0xD251_1F53 * u64::from(c[0]);
        let b = 0xCD9E_8D57 * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// The normal number of a word.
pub fn gaussian(w: u32) -> f32 {
    let x = quantile(w) as f32 * (1.0 / (1u32 << 29) as f32);
    if w >> 31 == 1 {
        -x
    } else {
        x
    }
}

/// The magnitude in units of 2^-29.
pub fn quantile(w: u32) -> u32 {
    let t = (w << 1) | 1;
    let zeros = t.leading_zeros();
    let m = t << zeros;
    let row = TABLE[((31 - zeros) * 32 + ((m >> 26) & 31)) as usize];
    let f = match 0u32.wrapping_sub(m << 6) {
        0 => u32::MAX,
        g => g,
    };
    let times = |a: u32| ((u64::from(a) * u64::from(f)) >> 32) as u32;
    let slope = row[1] + times(row[2] + times(row[3]));
    row[0] + ((times(slope) + 32) >> 6)
}

/// Bit for bit, near the ends of 64 bits too.
fn check(case: &mut Case<'_>) -> Result<(), String> {
    let mut word = || match case.of(0..5) {
        0 => case.word() % 4,
        1 => u64::MAX - case.word() % 4,
        2 => u64::from(u32::MAX),
        3 => 1 << 32,
        _ => case.word(),
    };
    let (first, seed) = (word(), word());
    let (draw, other) = (case.word() as u32, case.word() as u32);
    let len = case.of(0..150) * if case.coin() { 4 } else { 1 };
    let op = Noise { n: case.of(1..5), len, first, seed, draw };
    let want: Vec<u32> = op.reference().iter().map(|x| x.to_bits()).collect();
    let mut arrays = vec![table_words(), vec![7; op.n * op.len]];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    same(&arrays[1], &want)?;
    // Row 2 of a table with 3 words a row, word 1; the parameter is added.
    let numbers = Numbers { counter: 2, table: 3, stride: 3, offset: 1 };
    let tabled = Noise { draw: other, ..op };
    let counter = vec![2, first as u32, (first >> 32) as u32, seed as u32, (seed >> 32) as u32];
    let mut arrays = vec![table_words(), vec![7; op.n * op.len], counter, vec![0; 9]];
    arrays[3][7] = draw.wrapping_sub(other);
    case.run(&tabled.calls_tabled(&case.caps(), 0, 1, &numbers), &mut arrays)?;
    same(&arrays[1], &want)
}
