//! Convolution of any kernel size, stride and padding, and with it the linear
//! layer (1 x 1), in both families.

use super::{Call, Caps, Kernel, Needs, Reference, Variant};

/// A tile variant: vector width of input and output, lanes in x and y, vectors of
/// four pixels and of four output channels of a lane.
macro_rules! tile {
    ($name:literal, width $w:literal, lanes $lx:literal, $ly:literal, rm $rm:literal, rn $rn:literal) => {
        Variant {
            name: $name,
            defines: &[
                ("IN", $w),
                ("OUT", $w),
                ("VEC4", ($w == 4) as u32),
                ("LX", $lx),
                ("LY", $ly),
                ("RM", $rm),
                ("RN", $rn),
                // A lane stages one of four vectors of a pixel's 16 channels.
                ("STEP", $lx * $ly / 4),
                ("XS", 16 * $rm / $lx),
                ("WS", 16 * $rn / $ly),
            ],
            needs: Needs::NONE,
        }
    };
}

/// The tile family: GPUs. Named by pixels and output channels of a workgroup.
pub static TILE: Kernel = Kernel {
    name: "conv_tile",
    source: include_str!("../../shaders/conv_tile.wgsl"),
    variants: &[
        tile!("128x64_vec4", width 4, lanes 16, 16, rm 2, rn 1),
        tile!("64x64_vec4", width 4, lanes 16, 16, rm 1, rn 1),
        tile!("32x32_vec4", width 4, lanes 8, 8, rm 1, rn 1),
        tile!("128x64", width 1, lanes 16, 16, rm 2, rn 1),
        tile!("64x64", width 1, lanes 16, 16, rm 1, rn 1),
        tile!("32x32", width 1, lanes 8, 8, rm 1, rn 1),
    ],
};

/// A stream variant: vector widths of input and output, output channels and
/// pixels of a lane, lanes.
macro_rules! stream {
    ($name:literal, in $i:literal, out $o:literal, ob $ob:literal, pb $pb:literal, s $s:literal) => {
        Variant {
            name: $name,
            defines: &[
                ("IN", $i),
                ("OUT", $o),
                ("IN8", ($i == 8) as u32),
                ("IN4", ($i == 4) as u32),
                ("OUT8", ($o == 8) as u32),
                ("OUT4", ($o == 4) as u32),
                ("WIDE", ($i == 8 || $o == 8) as u32),
                ("OB", $ob),
                ("PB", $pb),
                ("S", $s),
                ("QUADS", $s * $ob / 4),
            ],
            needs: Needs { subgroup: Some($s), int64: $i == 8 || $o == 8 },
        }
    };
}

/// The stream family: processors that act as GPUs.
pub static STREAM: Kernel = Kernel {
    name: "conv_stream",
    source: include_str!("../../shaders/conv_stream.wgsl"),
    variants: &[
        stream!("s8_i8_o8_16", in 8, out 8, ob 2, pb 2, s 8),
        stream!("s8_i8_o8_8", in 8, out 8, ob 1, pb 2, s 8),
        stream!("s8_i8_o1_8", in 8, out 1, ob 1, pb 2, s 8),
        stream!("s8_i1_o8_16", in 1, out 8, ob 2, pb 2, s 8),
        stream!("s8_i4_o4_16", in 4, out 4, ob 2, pb 2, s 8),
        stream!("s8_i4_o1_8", in 4, out 1, ob 1, pb 2, s 8),
        stream!("s8_i1_o4_16", in 1, out 4, ob 2, pb 2, s 8),
        stream!("s8_i1_o1_8", in 1, out 1, ob 1, pb 2, s 8),
        stream!("s4_i4_o4_16", in 4, out 4, ob 4, pb 2, s 4),
        stream!("s4_i4_o1_8", in 4, out 1, ob 2, pb 2, s 4),
        stream!("s4_i1_o4_16", in 1, out 4, ob 4, pb 2, s 4),
        stream!("s4_i1_o1_8", in 1, out 1, ob 2, pb 2, s 4),
    ],
};

/// A convolution `[n, h, w, ci] -> [n, oh, ow, co]`. Padding is zero; what lies
/// past the image at the bottom and right is padding too.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// `[n, co]`, added to every pixel.
    pub temb: Option<B>,
    /// `[n, oh, ow, co]`, added.
    pub res: Option<B>,
    /// Any readable buffer, bound where `temb` or `res` is absent.
    pub dummy: B,
    /// `[n, oh, ow, co]`.
    pub y: B,
}

impl Conv {
    /// The family and variant for this shape. What is summed in which order
    /// does not depend on `n`.
    pub fn choose(&self, caps: &Caps) -> (&'static Kernel, &'static Variant) {
        if caps.stream {
            let fits = |v: &Variant| {
                let whole = |c: usize, width| c.is_multiple_of(v.get(width) as usize);
                whole(self.ci, "IN") && whole(self.co, "OUT")
            };
            // Few output channels waste the lanes' rest on a wide tile.
            let narrow = |v: &Variant| fits(v) && (v.get("OB") * v.get("S") == 8) == (self.co <= 8);
            if let Some(v) = STREAM.pick(caps, narrow).or_else(|| STREAM.pick(caps, fits)) {
                return (&STREAM, v);
            }
        }
        // Small images fill few tiles: smaller ones spread over more workgroups.
        let tile = match self.oh * self.ow {
            ..=256 => 32,
            257..=1024 => 64,
            _ => 128,
        };
        let whole = self.ci.is_multiple_of(4) && self.co.is_multiple_of(4);
        let fits = |v: &Variant| Self::tile(&TILE, v).1 == tile && (v.get("VEC4") == 1) == whole;
        let v = TILE.pick(caps, fits).unwrap_or(&TILE.variants[4]);
        (&TILE, v)
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
                    let step = ((o / tile_co) * taps + t) * blocks + c / 8;
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

    /// The dispatch of a variant.
    pub fn call<B>(
        &self,
        (kernel, variant): (&'static Kernel, &'static Variant),
        b: ConvBuffers<B>,
    ) -> Call<B>
    where
        B: Clone,
    {
        let (tile_co, tile_px) = Self::tile(kernel, variant);
        let pixels = self.n * self.oh * self.ow;
        let flags = u32::from(b.temb.is_some()) | (u32::from(b.res.is_some()) << 1);
        Call {
            kernel,
            variant,
            groups: (self.co.div_ceil(tile_co) * pixels.div_ceil(tile_px)) as u64,
            params: vec![
                ("n", (self.n as u32).into()),
                ("h", (self.h as u32).into()),
                ("w", (self.w as u32).into()),
                ("ci", (self.ci as u32).into()),
                ("oh", (self.oh as u32).into()),
                ("ow", (self.ow as u32).into()),
                ("co", (self.co as u32).into()),
                ("kh", (self.kh as u32).into()),
                ("kw", (self.kw as u32).into()),
                ("stride", (self.stride as u32).into()),
                ("pad_top", (self.pad_top as u32).into()),
                ("pad_left", (self.pad_left as u32).into()),
                ("flags", flags.into()),
                ("scale", self.scale.into()),
            ],
            bindings: vec![
                ("x", b.x),
                ("weight", b.weight),
                ("bias", b.bias),
                ("temb", b.temb.unwrap_or_else(|| b.dummy.clone())),
                ("res", b.res.unwrap_or(b.dummy)),
                ("y", b.y),
            ],
        }
    }

    /// The host reference, with weights `[co, ci, kh, kw]`.
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
                                if row >= self.h || col >= self.w {
                                    continue;
                                }
                                for c in 0..self.ci {
                                    let xv = x[((n * self.h + row) * self.w + col) * self.ci + c];
                                    let wv = weight[((o * self.ci + c) * self.kh + ky) * self.kw + kx];
                                    add(f64::from(xv) * f64::from(wv));
                                }
                            }
                        }
                        let out = ((n * self.oh + oy) * self.ow + ox) * self.co + o;
                        add(bias.map_or(0.0, |b| f64::from(b[o])));
                        add(temb.map_or(0.0, |t| f64::from(t[n * self.co + o])));
                        add(res.map_or(0.0, |r| f64::from(r[out])));
                        r.push(sum * f64::from(self.scale), size * f64::from(self.scale.abs()));
                    }
                }
            }
        }
        r
    }
}
