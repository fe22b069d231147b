//! Concatenation and splitting of channels.

use super::check::{bits, data, same, Case};
use super::{div_up, Call, Caps, Kernel, WIDTHS};

/// `copy_channels.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "copy_channels",
    check,
    source: include_str!("../../shaders/copy_channels.wgsl"),
    variants: WIDTHS,
};

/// Copies `c` channels of every pixel.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyChannels {
    /// Pixels of all images.
    pub pixels: usize,
    /// Channels that are copied.
    pub c: usize,
    /// Channels of the source.
    pub src_c: usize,
    /// Its first one that is copied.
    pub src_at: usize,
    /// Channels of the destination.
    pub dst_c: usize,
    /// Where they go.
    pub dst_at: usize,
}

impl CopyChannels {
    /// The other channels of `dst` stay.
    pub fn calls<B: Clone>(&self, caps: &Caps, src: B, dst: B) -> Vec<Call<B>> {
        let sizes = [self.c, self.src_c, self.src_at, self.dst_c, self.dst_at];
        let vec4 = KERNEL.vectors(caps, sizes.iter().all(|s| s % 4 == 0));
        let width = if vec4 { 4 } else { 1 };
        let total = self.pixels * self.c / width;
        let [c, src_c, src_at, dst_c, dst_at] = sizes.map(|s| (s / width).into());
        let params = vec![
            ("total", total.into()),
            ("c", c),
            ("src_c", src_c),
            ("src_at", src_at),
            ("dst_c", dst_c),
            ("dst_at", dst_at),
        ];
        let variant = KERNEL.pick(caps, |v| v.get("VEC4") == u32::from(vec4));
        Call::new(&KERNEL, variant, vec![("src", src), ("dst", dst)], params, div_up(total, 256))
    }

    /// Copies on the host.
    pub fn reference(&self, src: &[f32], dst: &mut [f32]) {
        for (from, to) in src.chunks_exact(self.src_c).zip(dst.chunks_exact_mut(self.dst_c)) {
            to[self.dst_at..][..self.c].copy_from_slice(&from[self.src_at..][..self.c]);
        }
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let unit = if case.coin() { 4 } else { 1 };
    let (pixels, seed) = (case.of(1..60), case.word());
    let c = unit * case.of(1..9);
    let [a, b, d] = std::array::from_fn(|_| unit * case.of(0..4));
    let op = CopyChannels { pixels, c, src_c: c + a + b, src_at: a, dst_c: c + b + d, dst_at: b };
    let src = data(seed, pixels * op.src_c);
    let mut dst = data(seed ^ 1, pixels * op.dst_c);
    let mut arrays = vec![bits(&src), bits(&dst)];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    op.reference(&src, &mut dst);
    same(&arrays[1], &bits(&dst))
}
