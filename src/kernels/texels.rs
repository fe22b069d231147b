//! Numbers into an image: for processors that load texels several times as fast as what
//! buffers hold, before a kernel that loads each number more than once.

use super::{div_up, Call, Caps, Kernel, Needs, Variant};

/// `texels.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "texels",
    check: super::conv::check::staged,
    source: include_str!("../../shaders/texels.wgsl"),
    variants: &[
        Variant { name: "eights", defines: &[("IN8", 1)], needs: Needs { subgroup: None, int64: true } },
        Variant { name: "ones", defines: &[("IN8", 0)], needs: Needs::NONE },
    ],
};

/// `[pixels, c]` into an image with channels filled up to whole eights.
#[derive(Clone, Copy, Debug)]
pub struct Texels {
    /// Pixels of all images.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
}

impl Texels {
    /// Numbers of the image.
    pub fn len(&self) -> usize {
        self.pixels * self.c.next_multiple_of(8)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From `x` to the image `to`.
    pub fn calls<B>(&self, caps: &Caps, x: B, to: B) -> Vec<Call<B>> {
        let total = self.len() / 8;
        let eights = caps.int64 && self.c.is_multiple_of(8);
        let variant = KERNEL.pick(caps, |v| v.get("IN8") == u32::from(eights));
        let params = vec![("total", total.into()), ("c", self.c.into())];
        Call::new(&KERNEL, variant, vec![("x", x), ("to", to)], params, div_up(total, 64))
    }
}
