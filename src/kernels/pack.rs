//! Pixels as bytes, and the count of numbers that are none.

use super::check::{bits, data, same, Case};
use super::{div_up, Call, Caps, Kernel, Needs, Variant};

/// `pack.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "pack", check, source: include_str!("../../shaders/pack.wgsl"), variants: ONLY };

/// `count_bad.wgsl`.
pub static COUNT_BAD: Kernel = Kernel {
    name: "count_bad",
    check,
    source: include_str!("../../shaders/count_bad.wgsl"),
    variants: &[
        Variant { name: "buffer", defines: &[("IMAGE", 0)], needs: Needs::NONE },
        Variant { name: "image", defines: &[("IMAGE", 1)], needs: Needs::NONE },
    ],
};

const ONLY: &[Variant] = &[Variant { name: "only", defines: &[], needs: Needs::NONE }];

/// `[rows, w, c]` in -1 ..= 1 to rows of RGBA8 words: `(x / 2 + 1 / 2) 255` clamped
/// and rounded half up (as torchvision's `save_image`). One or two channels show the
/// first as grey, more than four the first three; NaN is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pack {
    /// Rows of all images.
    pub rows: usize,
    /// Pixels of a row.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Words from one row to the next, at least `w`; what lies between stays.
    pub pitch: usize,
}

impl Pack {
    /// `dst` is a word per pixel, red in its low byte.
    pub fn calls<B: Clone>(&self, caps: &Caps, x: B, dst: B) -> Vec<Call<B>> {
        let total = self.rows * self.w;
        let params = vec![
            ("total", total.into()),
            ("w", self.w.into()),
            ("c", self.c.into()),
            ("pitch", self.pitch.into()),
        ];
        let bindings = vec![("x", x), ("dst", dst)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, div_up(total, 64))
    }

    /// The words, zeros between rows. A byte may differ by one where the product is within 1e-5 of a half.
    pub fn reference(&self, x: &[f32]) -> Vec<u32> {
        let byte = |v: f32| ((f64::from(v) * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0 + 0.5).floor() as u32;
        let word = |p: &[f32]| {
            let [r, g, b] = if self.c > 2 { [p[0], p[1], p[2]] } else { [p[0]; 3] }.map(byte);
            let a = if self.c == 4 { byte(p[3]) } else { 255 };
            r | g << 8 | b << 16 | a << 24
        };
        let words = x.chunks_exact(self.c).map(word).collect::<Vec<_>>();
        let mut rows = Vec::with_capacity(self.rows * self.pitch);
        for row in words.chunks_exact(self.w) {
            rows.extend_from_slice(row);
            rows.resize(rows.len() + self.pitch - self.w, 0);
        }
        rows
    }
}

/// `count[at + image]` = numbers of the image that are infinite or NaN.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountBad {
    /// Images.
    pub n: usize,
    /// Numbers per image.
    pub len: usize,
    /// Where the counts begin.
    pub at: usize,
    /// Whether to add to what is there.
    pub add: bool,
    /// Whether the numbers lie in an image: whole texels of four.
    pub image: bool,
}

impl CountBad {
    /// `count` holds `u32` words.
    pub fn calls<B: Clone>(&self, caps: &Caps, x: B, count: B) -> Vec<Call<B>> {
        let len = if self.image { self.len / 4 } else { self.len };
        let params = vec![("len", len.into()), ("at", self.at.into()), ("add", u32::from(self.add).into())];
        let bindings = vec![("x", x), ("count", count)];
        let variant = COUNT_BAD.pick(caps, |v| v.get("IMAGE") == u32::from(self.image));
        Call::new(&COUNT_BAD, variant, bindings, params, self.n)
    }

    /// The counts.
    pub fn reference(&self, x: &[f32]) -> Vec<u32> {
        x.chunks_exact(self.len).map(|i| i.iter().filter(|v| !v.is_finite()).count() as u32).collect()
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, h, w, c) = (case.of(1..5), case.of(1..30), case.of(1..20), case.of(1..7));
    let (gap, seed) = (case.of(0..9), case.word());
    let op = Pack { rows: n * h, w, c, pitch: w + gap };
    let pixels = h * w;
    let mut x = data(seed, n * pixels * c);
    for (i, v) in x.iter_mut().enumerate() {
        match (i as u64 ^ seed) % 29 {
            0 => *v = f32::NAN,
            1 => *v = f32::INFINITY,
            2 => *v = f32::NEG_INFINITY,
            _ => {}
        }
    }
    let mut arrays = vec![bits(&x), vec![0; op.rows * op.pitch], vec![9; n]];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    let count = CountBad { n, len: pixels * c, ..Default::default() };
    case.run(&count.calls(&case.caps(), 0, 2), &mut arrays)?;
    for (i, (a, b)) in arrays[1].iter().zip(op.reference(&x)).enumerate() {
        let near = a.to_le_bytes().into_iter().zip(b.to_le_bytes()).all(|(p, q)| p.abs_diff(q) <= 1);
        if !near {
            return Err(format!("pixel {i}: {a:08x} for {b:08x}"));
        }
    }
    let want = count.reference(&x);
    same(&arrays[2], &want)?;
    arrays[2] = vec![5; n + 1];
    let count = CountBad { at: 1, add: true, image: count.len.is_multiple_of(4), ..count };
    case.run(&count.calls(&case.caps(), 0, 2), &mut arrays)?;
    let added: Vec<u32> = std::iter::once(5).chain(want.iter().map(|b| b + 5)).collect();
    same(&arrays[2], &added)
}
