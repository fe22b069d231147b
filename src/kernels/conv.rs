//! Convolution of any kernel size, stride and padding, and with it the linear
//! layer (1 x 1), in both families.

pub(super) mod check;
mod families;

use super::activation::Activation;
use super::texels::Texels;
use super::{Call, Caps, Kernel, Reference, Variant};
pub use families::{STREAM, STREAM3, TILE};

/// A convolution `[n, h, w, ci] -> [n, oh, ow, co]`. Padding is zero; what lies
/// past the image at the bottom and right is padding too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conv {
    /// Images.
    pub n: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Input channels.
    pub ci: usize,
    /// Output rows.
    pub oh: usize,
    /// Output columns.
    pub ow: usize,
    /// Output channels.
    pub co: usize,
    /// Kernel rows.
    pub kh: usize,
    /// Kernel columns.
    pub kw: usize,
    /// Stride, both ways.
    pub stride: usize,
    /// Rows of zeros above.
    pub pad_top: usize,
    /// Columns of zeros to the left.
    pub pad_left: usize,
    /// What the sum is multiplied by at the end.
    pub scale: f32,
    /// Each pixel of the input stands for `2^up x 2^up`: nearest upsampling by addressing.
    pub up: usize,
    /// Channels of the tensor that [`ConvBuffers::temb`] is part of, and the first of
    /// them: vector loads want both to be whole vectors.
    pub temb: (usize, usize),
    /// Whether SiLU comes last.
    pub silu: bool,
    /// Whether the input lies in an image, `[n, h, w, ci]` in texels of four with `ci` whole
    /// eights ([`Conv::reads_image`]).
    pub image: bool,
    /// Whether the result lies in one, `[n, oh, ow, co]` with `co` whole eights, and so what
    /// is added to each of its numbers ([`Conv::writes_image`]).
    pub to_image: bool,
}

/// What a convolution reads and writes.
#[derive(Clone, Debug)]
pub struct ConvBuffers<B> {
    /// `[n, h, w, ci]`.
    pub x: B,
    /// Packed by [`Conv::pack`].
    pub weight: B,
    /// `[co]`, packed by [`Conv::pack_bias`].
    pub bias: B,
    /// Channels [`Conv::temb`] of a tensor `[n, channels]`, added to every pixel.
    pub temb: Option<B>,
    /// `[n, oh, ow, co]`, added.
    pub res: Option<B>,
    /// An image of [`Conv::staging`]'s size, where it wants one.
    pub staged: Option<B>,
    /// Any readable buffer, bound where `temb` or `res` is absent.
    pub dummy: B,
    /// `[n, oh, ow, co]`.
    pub y: B,
}

impl Conv {
    /// The family and variant for this shape. What is summed in which order
    /// does not depend on `n`.
    pub fn choose(&self, caps: &Caps) -> (&'static Kernel, &'static Variant) {
        let silu = u32::from(self.silu);
        if let Some(fastest) = caps.fastest(|| self.shape_key()).filter(|(k, v)| self.takes(k, v)) {
            return fastest;
        }
        if caps.stream {
            if let Some(v) = self.choose3(caps) {
                return (&STREAM3, v);
            }
            let stage = u32::from(self.stage(caps));
            let fits = |v: &Variant| self.takes(&STREAM, v) && v.get("STAGED") == stage;
            // The most output channels at once that waste no lanes, and the large
            // tile only where an image fills it: loads are what costs.
            let channels = match self.co {
                0..=8 => 8,
                co if co.is_multiple_of(32) && (self.oh * self.ow >= 64 || caps.images) => 32,
                _ => 16,
            };
            let image = |v: &Variant| (v.get("IMAGE") == 1) == caps.images;
            let best = |v: &Variant| fits(v) && (v.get("OB") * v.get("S")) as usize == channels;
            let small =
                |v: &Variant| self.takes(&STREAM, v) && v.get("OB") * v.get("S") <= 16 && v.get("IMAGE") == 0;
            let pick = STREAM.sound(caps, |v| best(v) && image(v));
            let pick = pick.or_else(|| STREAM.sound(caps, |v| small(v) && best(v)));
            if let Some(v) = pick.or_else(|| STREAM.sound(caps, small)) {
                return (&STREAM, v);
            }
        }
        // The largest tile of which there are enough to fill a GPU, else the smallest: more
        // workgroups. Which one it is does not change what is summed in which order.
        let groups = |pixels: usize| {
            let tiles = (self.n * self.oh * self.ow).div_ceil(pixels);
            tiles * self.co.div_ceil(64)
        };
        let tile = match () {
            () if self.silu => 32,
            () if groups(128) >= 512 => 128,
            () if groups(64) >= 256 => 64,
            () => 32,
        };
        let whole = self.whole(4);
        let fits = |v: &Variant| {
            Self::tile(&TILE, v).1 == tile && (v.get("VEC4") == 1) == whole && v.get("SILU") == silu
        };
        // Another tile before one that is wrong here.
        let v = TILE.sound(caps, fits).or_else(|| TILE.sound(caps, |v| self.takes(&TILE, v)));
        let v = v.or_else(|| TILE.pick(caps, fits)).unwrap_or(&TILE.variants[5]);
        (&TILE, v)
    }

    /// Whether the input is better brought into an image first: each number is loaded several
    /// times, or by itself.
    fn stage(&self, caps: &Caps) -> bool {
        let each = (self.kh * self.kw).div_ceil(self.stride.max(1).pow(2)) * self.co.div_ceil(32);
        let many = each > 1 || !self.ci.is_multiple_of(8);
        self.image || self.to_image || (caps.images && !self.silu && self.oh * self.ow >= 16 && many)
    }

    /// How the input is brought into an image, for a variant that wants it there.
    pub fn staging(&self, v: &Variant) -> Option<Texels> {
        (v.get("STAGED") == 1 && !self.image)
            .then_some(Texels { pixels: self.n * self.h * self.w, c: self.ci })
    }

    /// The variant of [`STREAM3`], where it is one's case.
    fn choose3(&self, caps: &Caps) -> Option<&'static Variant> {
        let channels = if self.co.is_multiple_of(32) { 32 } else { 16 };
        STREAM3.sound(caps, |v| {
            self.takes(&STREAM3, v)
                && (v.get("IMAGE") == 1) == caps.images
                && (v.get("OB") * v.get("S")) as usize == channels
        })
    }

    /// Whether channels, and where those that are added lie, are whole vectors.
    fn whole(&self, width: usize) -> bool {
        [self.ci, self.co, self.temb.0, self.temb.1].iter().all(|c| c.is_multiple_of(width))
    }

    /// Whether a variant computes this shape, fast or not.
    pub fn takes(&self, kernel: &Kernel, v: &Variant) -> bool {
        if self.image && v.get("STAGED") == 0 || v.get("TO") != u32::from(self.to_image) {
            return false;
        }
        let silu = v.get("SILU") == u32::from(self.silu);
        if kernel.name == TILE.name {
            return silu && (v.get("VEC4") == 0 || self.whole(4));
        }
        let whole = |c: usize, width| c.is_multiple_of(v.get(width) as usize);
        let fits = whole(self.ci, "IN")
            && whole(self.co, "OUT")
            && whole(self.temb.0, "OUT")
            && whole(self.temb.1, "OUT");
        let same = (self.oh, self.ow) == (self.h << self.up, self.w << self.up);
        let three = (self.kh, self.kw, self.stride, self.pad_top, self.pad_left) == (3, 3, 1, 1, 1);
        match kernel.name {
            name if name == STREAM.name => silu && fits,
            name if name == STREAM3.name => silu && fits && same && three,
            _ => false,
        }
    }

    /// Every variant of the adapter's families that takes this shape and is not wrong here.
    pub fn candidates(&self, caps: &Caps) -> Vec<(&'static Kernel, &'static Variant)> {
        let of = |k: &'static Kernel| {
            let sound = move |v: &&Variant| caps.meets(v.needs) && self.takes(k, v) && !caps.bans(k, v);
            k.variants.iter().filter(sound).map(move |v| (k, v))
        };
        let mut found: Vec<_> = Vec::new();
        if caps.stream {
            found.extend(of(&STREAM3).chain(of(&STREAM)));
        }
        if found.is_empty() {
            found.extend(of(&TILE));
        }
        found
    }

    /// The shape of one image in words: what a choice of variants may depend on. The batch
    /// is not in it; of where channels that are added lie, only the alignment is.
    pub fn shape_key(&self) -> String {
        let whole = |w: &usize| self.temb.0.is_multiple_of(*w) && self.temb.1.is_multiple_of(*w);
        let aligned = [8, 4].into_iter().find(whole).unwrap_or(1);
        let up =
            if self.up > 0 { format!(", upsampled {}x", 1u64 << self.up.min(63)) } else { String::new() };
        format!(
            "conv {}x{}x{} to {}x{}x{}, {}x{}, stride {}, pad {} {}{up}{}{}{}",
            self.h,
            self.w,
            self.ci,
            self.oh,
            self.ow,
            self.co,
            self.kh,
            self.kw,
            self.stride,
            self.pad_top,
            self.pad_left,
            if self.silu { ", silu" } else { "" },
            if aligned < 8 { format!(", aligned to {aligned}") } else { String::new() },
            match (self.image, self.to_image) {
                (false, false) => "",
                (true, false) => ", from an image",
                (false, true) => ", to an image",
                (true, true) => ", from image to image",
            },
        )
    }

    /// The shape that a call was made for, and whether a time embedding and a residual are
    /// added; `None` for a call of another family.
    pub fn of_call<B>(call: &Call<B>) -> Option<(Conv, (bool, bool))> {
        if ![TILE.name, STREAM.name, STREAM3.name].contains(&call.kernel.name) {
            return None;
        }
        let value = |name| call.params.iter().find(|(n, _)| *n == name).map(|p| p.1);
        let get = |name| match value(name) {
            Some(super::Value::U32(v)) => Some(v as usize),
            _ => None,
        };
        // What STREAM3 does not ask is the same for all that it is for.
        let conv = Conv {
            n: get("n")?,
            h: get("h")?,
            w: get("w")?,
            ci: get("ci")?,
            oh: get("oh")?,
            ow: get("ow")?,
            co: get("co")?,
            kh: get("kh").unwrap_or(3),
            kw: get("kw").unwrap_or(3),
            stride: get("stride").unwrap_or(1),
            pad_top: get("pad_top").unwrap_or(1),
            pad_left: get("pad_left").unwrap_or(1),
            up: get("up")?,
            temb: (get("temb_stride")?, get("temb_at")?),
            silu: call.variant.get("SILU") == 1,
            image: false,
            to_image: call.variant.get("TO") == 1,
            scale: match value("scale") {
                Some(super::Value::F32(v)) => v,
                _ => return None,
            },
        };
        let flags = get("flags")?;
        Some((conv, (flags & 1 == 1, flags & 2 == 2)))
    }

    /// Output channels and pixels of a workgroup.
    fn tile(kernel: &Kernel, v: &Variant) -> (usize, usize) {
        if kernel.name == TILE.name {
            let get = |name| v.get(name) as usize;
            (4 * get("LX") * get("RN"), 4 * get("LY") * get("RM"))
        } else {
            let s = v.get("S") as usize;
            (s * v.get("OB") as usize, s * v.get("PB") as usize)
        }
    }

    /// Multiply-adds of the whole batch.
    pub fn macs(&self) -> u64 {
        [self.n, self.oh, self.ow, self.co, self.kh, self.kw, self.ci].iter().map(|&x| x as u64).product()
    }

    /// Weights `[co, ci, kh, kw]` (PyTorch's order) in the layout of a variant.
    pub fn pack(&self, kernel: &Kernel, v: &Variant, weight: &[f32]) -> Vec<f32> {
        let taps = self.kh * self.kw;
        let (tile_co, _) = Self::tile(kernel, v);
        let at = |o: usize, c: usize, t: usize| weight[(o * self.ci + c) * taps + t];
        if kernel.name == TILE.name {
            let co4 = self.co.next_multiple_of(4);
            let mut out = vec![0.0; taps * self.ci * co4];
            for t in 0..taps {
                for c in 0..self.ci {
                    for o in 0..self.co {
                        out[(t * self.ci + c) * co4 + o] = at(o, c, t);
                    }
                }
            }
            return out;
        }
        let (tiles, blocks) = (self.co.div_ceil(tile_co), self.ci.div_ceil(8));
        let mut out = vec![0.0; tiles * taps * blocks * tile_co * 8];
        for o in 0..self.co {
            for c in 0..self.ci {
                for t in 0..taps {
                    // Taps of a row are next to one another where they share what is loaded.
                    let step = match kernel.name == STREAM3.name {
                        true => ((o / tile_co) * 3 + t / 3) * blocks * 3 + c / 8 * 3 + t % 3,
                        false => ((o / tile_co) * taps + t) * blocks + c / 8,
                    };
                    out[(step * tile_co + o % tile_co) * 8 + c % 8] = at(o, c, t);
                }
            }
        }
        out
    }

    /// Biases `[co]` padded for a variant.
    pub fn pack_bias(&self, kernel: &Kernel, v: &Variant, bias: Option<&[f32]>) -> Vec<f32> {
        let mut out = bias.map_or_else(|| vec![0.0; self.co], <[f32]>::to_vec);
        out.resize(self.co.next_multiple_of(Self::tile(kernel, v).0), 0.0);
        out
    }

    /// The dispatches of a variant: one, or two where [`Conv::staging`] comes first.
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        choice: (&'static Kernel, &'static Variant),
        b: ConvBuffers<B>,
    ) -> Vec<Call<B>> {
        let (Some(texels), Some(staged)) = (self.staging(choice.1), b.staged.clone()) else {
            return vec![self.call(choice, b)];
        };
        let mut calls = texels.calls(caps, b.x.clone(), staged.clone());
        calls.push(self.call(choice, ConvBuffers { x: staged, ..b }));
        calls
    }

    fn call<B: Clone>(
        &self,
        (kernel, variant): (&'static Kernel, &'static Variant),
        b: ConvBuffers<B>,
    ) -> Call<B> {
        let (tile_co, tile_px) = Self::tile(kernel, variant);
        let pixels = self.n * self.oh * self.ow;
        let three = kernel.name == STREAM3.name;
        let flags = u32::from(b.temb.is_some()) | (u32::from(b.res.is_some()) << 1);
        // What is bound where no residual is, and not read.
        let none = if variant.get("TO") == 1 { b.x.clone() } else { b.dummy.clone() };
        Call {
            kernel,
            variant,
            groups: (self.co.div_ceil(tile_co) * pixels.div_ceil(tile_px)) as u64,
            params: [
                ("n", self.n.into()),
                ("h", self.h.into()),
                ("w", self.w.into()),
                ("ci", self.ci.into()),
                ("oh", self.oh.into()),
                ("ow", self.ow.into()),
                ("co", self.co.into()),
                ("kh", self.kh.into()),
                ("kw", self.kw.into()),
                ("stride", self.stride.into()),
                ("pad_top", self.pad_top.into()),
                ("pad_left", self.pad_left.into()),
                ("up", self.up.into()),
                ("temb_stride", self.temb.0.into()),
                ("temb_at", self.temb.1.into()),
                ("flags", flags.into()),
                ("scale", self.scale.into()),
            ]
            .into_iter()
            // What is the same for all that the kernel is for, it does not ask.
            .filter(|(name, _)| !three || !["kh", "kw", "stride", "pad_top", "pad_left"].contains(name))
            .collect(),
            bindings: vec![
                ("x", b.x),
                ("weight", b.weight),
                ("bias", b.bias),
                ("temb", b.temb.unwrap_or(b.dummy)),
                ("res", b.res.unwrap_or(none)),
                ("y", b.y),
            ],
        }
    }

    /// The host reference, with weights `[co, ci, kh, kw]` and the whole tensor that `temb` is part of.
    pub fn reference(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        temb: Option<&[f32]>,
        res: Option<&[f32]>,
    ) -> Reference {
        let mut r = Reference::default();
        for n in 0..self.n {
            for oy in 0..self.oh {
                for ox in 0..self.ow {
                    for o in 0..self.co {
                        let (mut sum, mut size) = (0f64, 0f64);
                        let mut add = |v: f64| {
                            sum += v;
                            size += v.abs();
                        };
                        for ky in 0..self.kh {
                            for kx in 0..self.kw {
                                let row = (oy * self.stride + ky).wrapping_sub(self.pad_top);
                                let col = (ox * self.stride + kx).wrapping_sub(self.pad_left);
                                if row >= self.h << self.up || col >= self.w << self.up {
                                    continue;
                                }
                                for c in 0..self.ci {
                                    let (row, col) = (row >> self.up, col >> self.up);
                                    let xv = x[((n * self.h + row) * self.w + col) * self.ci + c];
                                    let wv = weight[((o * self.ci + c) * self.kh + ky) * self.kw + kx];
                                    add(f64::from(xv) * f64::from(wv));
                                }
                            }
                        }
                        let out = ((n * self.oh + oy) * self.ow + ox) * self.co + o;
                        add(bias.map_or(0.0, |b| f64::from(b[o])));
                        add(temb.map_or(0.0, |t| f64::from(t[n * self.temb.0 + self.temb.1 + o])));
                        add(res.map_or(0.0, |r| f64::from(r[out])));
                        let act = if self.silu { Activation::Silu } else { Activation::Identity };
                        let size = size * f64::from(self.scale.abs());
                        r.push(act.apply(sum * f64::from(self.scale)), size + act.slack());
                    }
                }
            }
        }
        r
    }
}
