//! 3 x 3 convolution by Winograd's minimal filtering (Lavin and Gray 2015), for processors
//! that act as GPUs: F(2 x 2, 3 x 3) multiplies 16 times where the sum itself multiplies 36
//! times, F(4 x 4, 3 x 3) 36 times where it multiplies 144 times. Three dispatches: patches are
//! transformed ([`INPUT`]), multiplied ([`PRODUCT`]), and transformed back ([`OUTPUT`]).
//! Between them numbers lie in images, which such processors load several times as fast as
//! buffers.
//!
//! F(4 x 4) loses about twice what the sum in order loses, F(2 x 2) half of it: the points
//! of the former, 0, 5/8, -5/8, 3/2, -3/2, were chosen for it.

use super::check::{bits, compare, data, Case};
use super::conv::{Conv, ConvBuffers};
use super::{Call, Caps, Kernel, Needs, Summation, Variant};

/// A variant of a transform: the pixels of a tile, both ways.
macro_rules! transform {
    ($name:literal, $m:literal, subgroup $s:expr) => {
        Variant {
            name: $name,
            defines: &[("M", $m), ("A", $m + 2), ("FOUR", ($m == 4) as u32)],
            needs: Needs { subgroup: $s, int64: true },
        }
    };
    ($name:literal, $m:literal, $image:literal, int64 $i:literal) => {
        Variant {
            name: $name,
            defines: &[("M", $m), ("A", $m + 2), ("FOUR", ($m == 4) as u32), ($image, 1)],
            needs: Needs { subgroup: None, int64: $i },
        }
    };
}

/// A variant of the product: vectors of eight output channels and tiles of a lane.
macro_rules! product {
    ($name:literal, ob $ob:literal, pb $pb:literal) => {
        Variant {
            name: $name,
            defines: &[("OB", $ob), ("PB", $pb)],
            needs: Needs { subgroup: Some(8), int64: false },
        }
    };
}

/// Patches transformed.
pub static INPUT: Kernel = Kernel {
    name: "winograd_input",
    check,
    source: include_str!("../../shaders/winograd_input.wgsl"),
    variants: &[
        transform!("4x4", 4, subgroup None),
        transform!("2x2", 2, subgroup None),
        transform!("4x4_image", 4, "FROM", int64 false),
        transform!("2x2_image", 2, "FROM", int64 false),
    ],
};

/// Products over input channels. Named by output channels and tiles of a workgroup.
pub static PRODUCT: Kernel = Kernel {
    name: "winograd_product",
    check,
    source: include_str!("../../shaders/winograd_product.wgsl"),
    variants: &[
        product!("s8_32_32", ob 4, pb 4),
        product!("s8_32_16", ob 4, pb 2),
        product!("s8_32_8", ob 4, pb 1),
        product!("s8_16_32", ob 2, pb 4),
        product!("s8_16_16", ob 2, pb 2),
        product!("s8_16_8", ob 2, pb 1),
    ],
};

/// Products transformed back.
pub static OUTPUT: Kernel = Kernel {
    name: "winograd_output",
    check,
    source: include_str!("../../shaders/winograd_output.wgsl"),
    variants: &[
        transform!("4x4", 4, subgroup None),
        transform!("2x2", 2, subgroup None),
        transform!("4x4_image", 4, "TO", int64 true),
        transform!("2x2_image", 2, "TO", int64 true),
    ],
};

/// Input times output channels above which weights are not transformed for large tiles: the
/// networks that have such layers have hundreds of millions of weights.
const LARGEST: usize = 512 * 256;

/// How a convolution is computed by Winograd.
#[derive(Clone, Copy, Debug)]
pub struct Winograd {
    conv: Conv,
    input: &'static Variant,
    product: &'static Variant,
    output: &'static Variant,
}

/// Both ways of a convolution read and write images: this one, and the sum in order where its
/// input is staged.
impl Conv {
    /// Whether the input may lie in an image, written by the op before.
    pub fn reads_image(&self, caps: &Caps) -> bool {
        self.ci.is_multiple_of(8) && Conv { image: true, ..*self }.has_images(caps)
    }

    /// Whether the result, and a residual, may lie in an image for the ops behind.
    pub fn writes_image(&self, caps: &Caps) -> bool {
        Conv { to_image: true, ..*self }.has_images(caps)
    }

    fn has_images(&self, caps: &Caps) -> bool {
        // One pixel fills no lanes.
        let may = caps.stream && caps.images && self.oh * self.ow >= 16;
        may && (Winograd::choose(self, caps).is_some() || self.choose(caps).1.get("STAGED") == 1)
    }
}

impl Winograd {
    /// For a shape that it is faster for than the sum in order. The size of a tile
    /// follows from the shape of one image, unless sums may follow the batch; how many tiles
    /// a workgroup takes changes no bit.
    pub fn choose(conv: &Conv, caps: &Caps) -> Option<Winograd> {
        let exact = caps.summation == Summation::Exact;
        if exact || !(caps.stream && caps.images) || conv.oh * conv.ow < 16 || conv.ci < 32 || conv.co < 32 {
            return None;
        }
        // A larger tile needs four times the weights' memory, a small one 1.8 times; and few
        // tiles fill no lanes.
        let pixels = match caps.summation {
            Summation::Fastest => conv.n * conv.oh * conv.ow,
            _ => conv.oh * conv.ow,
        };
        let large = pixels > 64 && conv.ci * conv.co <= LARGEST;
        Self::of(conv, caps, if large { 4 } else { 2 })
    }

    /// With tiles of `m x m` pixels, for a shape that it is right for.
    fn of(conv: &Conv, caps: &Caps, m: u32) -> Option<Winograd> {
        let whole = [conv.ci, conv.co, conv.temb.0, conv.temb.1].iter().all(|c| c.is_multiple_of(8));
        let same = (conv.oh, conv.ow) == (conv.h << conv.up, conv.w << conv.up);
        let three = (conv.kh, conv.kw, conv.stride, conv.pad_top, conv.pad_left) == (3, 3, 1, 1, 1);
        if !(whole && same && three) || conv.silu {
            return None;
        }
        let tiles = conv.n * conv.oh.div_ceil(m as usize) * conv.ow.div_ceil(m as usize);
        let (ob, pb) = (
            if conv.co.is_multiple_of(32) { 4 } else { 2 },
            match tiles {
                0..=8 => 1,
                9..=16 => 2,
                _ => 4,
            },
        );
        Some(Winograd {
            conv: *conv,
            input: INPUT.sound(caps, |v| v.get("M") == m && v.get("FROM") == u32::from(conv.image))?,
            product: PRODUCT.sound(caps, |v| (v.get("OB"), v.get("PB")) == (ob, pb))?,
            output: OUTPUT.sound(caps, |v| v.get("M") == m && v.get("TO") == u32::from(conv.to_image))?,
        })
    }

    /// Places of a transformed patch.
    fn places(&self) -> usize {
        let a = self.input.get("A") as usize;
        a * a
    }

    /// Rows and columns of tiles, and tiles of the batch, those rounded up for the product.
    fn tiles(&self) -> (usize, usize, usize) {
        let m = self.input.get("M") as usize;
        let (rows, columns) = (self.conv.oh.div_ceil(m), self.conv.ow.div_ceil(m));
        let all = (self.conv.n * rows * columns).next_multiple_of(8 * self.product.get("PB") as usize);
        (rows, columns, all)
    }

    /// Numbers of the image between the first two dispatches, and of that between the last two.
    pub fn scratch(&self) -> [usize; 2] {
        let all = self.places() * self.tiles().2;
        [all * self.conv.ci, all * self.conv.co]
    }

    /// What tells the layout of its weights from others.
    pub fn layout(&self) -> String {
        format!("winograd/{}/{}", self.input.get("M"), self.product.get("OB"))
    }

    /// Weights `[co, ci, 3, 3]` transformed, in the layout of the product: `G w G^T`.
    pub fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let (ci, co, ob) = (self.conv.ci, self.conv.co, self.product.get("OB") as usize);
        let g: &[[f64; 3]] = match self.input.get("M") {
            2 => &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]],
            _ => &self::filter(),
        };
        let parts = co.div_ceil(8 * ob);
        let mut out = vec![0.0; self.places() * parts * ci * 8 * ob];
        for (i, o) in (0..ci).flat_map(|i| (0..co).map(move |o| (i, o))) {
            let w = |y: usize, x: usize| f64::from(weight[(o * ci + i) * 9 + 3 * y + x]);
            for (place, (r, c)) in g.iter().flat_map(|r| g.iter().map(move |c| (r, c))).enumerate() {
                let sum: f64 = (0..9).map(|k| r[k / 3] * w(k / 3, k % 3) * c[k % 3]).sum();
                let row = ((place * parts + o / (8 * ob)) * (ci / 8) + i / 8) * 8 * ob + o % (8 * ob);
                out[row * 8 + i % 8] = sum as f32;
            }
        }
        out
    }

    /// The dispatches; `b.weight` is packed by [`Winograd::pack`], `b.bias` is `[co]`, and
    /// `scratch` names two images of [`Winograd::scratch`] numbers.
    pub fn calls<B: Clone>(&self, b: ConvBuffers<B>, scratch: [B; 2]) -> [Call<B>; 3] {
        let conv = &self.conv;
        let (rows, columns, all) = self.tiles();
        let eights = (conv.n * rows * columns).div_ceil(8);
        let (ob, pb) = (self.product.get("OB") as usize, self.product.get("PB") as usize);
        let flags = u32::from(b.temb.is_some()) | (u32::from(b.res.is_some()) << 1);
        let [v, m] = scratch;
        // What is bound where no residual is, and not read.
        let none = if conv.to_image { m.clone() } else { b.dummy.clone() };
        let input = Call {
            kernel: &INPUT,
            variant: self.input,
            groups: (eights * conv.ci / 8) as u64,
            params: vec![
                ("n", conv.n.into()),
                ("h", conv.h.into()),
                ("w", conv.w.into()),
                ("ci", conv.ci.into()),
                ("rows", rows.into()),
                ("columns", columns.into()),
                ("up", conv.up.into()),
                ("all", all.into()),
            ],
            bindings: vec![("x", b.x), ("v", v.clone())],
        };
        let product = Call {
            kernel: &PRODUCT,
            variant: self.product,
            groups: (self.places() * conv.co.div_ceil(8 * ob) * (all / (8 * pb))) as u64,
            params: vec![("ci", conv.ci.into()), ("co", conv.co.into()), ("all", all.into())],
            bindings: vec![("v", v), ("u", b.weight), ("m", m.clone())],
        };
        let output = Call {
            kernel: &OUTPUT,
            variant: self.output,
            groups: (eights * conv.co / 8) as u64,
            params: vec![
                ("n", conv.n.into()),
                ("oh", conv.oh.into()),
                ("ow", conv.ow.into()),
                ("co", conv.co.into()),
                ("rows", rows.into()),
                ("columns", columns.into()),
                ("all", all.into()),
                ("temb_stride", conv.temb.0.into()),
                ("temb_at", conv.temb.1.into()),
                ("flags", flags.into()),
                ("scale", conv.scale.into()),
            ],
            bindings: vec![
                ("m", m),
                ("bias", b.bias),
                ("temb", b.temb.unwrap_or(b.dummy)),
                ("res", b.res.unwrap_or(none)),
                ("y", b.y),
            ],
        };
        [input, product, output]
    }
}

/// G of F(4, 3): a row of powers for each point, over the product of its distances from the
/// others; the point at infinity takes the last tap.
fn filter() -> [[f64; 3]; 6] {
    const POINTS: [f64; 5] = [0.0, 0.625, -0.625, 1.5, -1.5];
    let mut g = [[0.0, 0.0, 1.0]; 6];
    for (row, p) in g.iter_mut().zip(POINTS) {
        let distances: f64 = POINTS.iter().filter(|q| **q != p).map(|q| p - q).product();
        *row = [1.0, p, p * p].map(|power| power / distances);
    }
    g
}

/// All three against the convolution's twin.
fn check(case: &mut Case<'_>) -> Result<(), String> {
    let here = case.here();
    let (n, h, w) = (case.of(1..4), case.of(1..10), case.of(1..10));
    let (ci, co) = (8 * case.of(1..4), 8 * case.of(1..7));
    let up = usize::from(case.of(0..5) == 0);
    let conv = Conv {
        n,
        h,
        w,
        ci,
        oh: h << up,
        ow: w << up,
        co,
        kh: 3,
        kw: 3,
        stride: 1,
        pad_top: 1,
        pad_left: 1,
        scale: if case.coin() { 1.0 } else { case.real(-2.0, 2.0) as f32 },
        up,
        temb: (co + 8 * case.of(0..3), 0),
        silu: false,
        image: case.coin(),
        to_image: case.coin(),
    };
    let conv = Conv { temb: (conv.temb.0, conv.temb.0 - co), ..conv };
    let Some(mut way) = Winograd::of(&conv, &here, if case.coin() { 4 } else { 2 }) else {
        return Ok(());
    };
    // Any variant of the product, whichever the shape would choose.
    let met: Vec<&'static Variant> = PRODUCT.variants.iter().filter(|v| here.meets(v.needs)).collect();
    way.product = met[case.of(0..met.len())];
    let (temb, res, seed) = (case.coin(), case.coin(), case.word());
    let x = data(seed, n * h * w * ci);
    let weight = data(seed ^ 1, co * ci * 9);
    let bias = data(seed ^ 2, co);
    let emb = data(seed ^ 3, n * conv.temb.0);
    let pixels = n * conv.oh * conv.ow * co;
    let skip = data(seed ^ 4, pixels);
    let scratch = way.scratch();
    let mut arrays = vec![
        bits(&x),
        bits(&way.pack(&weight)),
        bits(&bias),
        bits(&emb),
        bits(&skip),
        vec![0; pixels],
        vec![0; 8],
        vec![0; scratch[0]],
        vec![0; scratch[1]],
    ];
    let (emb, skip) = (temb.then_some(&emb[..]), res.then_some(&skip[..]));
    let (temb, res) = (emb.map(|_| 3), skip.map(|_| 4));
    let buffers = ConvBuffers { x: 0, weight: 1, bias: 2, temb, res, y: 5, staged: None, dummy: 6 };
    case.run(&way.calls(buffers, [7, 8]), &mut arrays)?;
    // A pixel meets numbers that only its neighbours sum: what is lost of them is its loss too.
    let mut want = conv.reference(&x, &weight, Some(&bias), emb, skip);
    let most = want.magnitude.iter().copied().fold(0.0, f64::max);
    want.magnitude.fill(most);
    compare(&arrays[5], &want, TOLERANCE)
}

/// Relative to the largest sum of magnitudes of a case.
const TOLERANCE: f64 = 5e-6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_decides_only_where_it_may() {
        let conv = |n| Conv {
            n,
            h: 8,
            w: 8,
            ci: 64,
            oh: 8,
            ow: 8,
            co: 64,
            kh: 3,
            kw: 3,
            stride: 1,
            pad_top: 1,
            pad_left: 1,
            scale: 1.0,
            ..Default::default()
        };
        let here = Caps { stream: true, subgroup: Some(8), int64: true, images: true, ..Caps::CORE };
        let tile =
            |n, summation| Winograd::choose(&conv(n), &Caps { summation, ..here }).map(|w| w.input.get("M"));
        assert_eq!([1, 16].map(|n| tile(n, Summation::Image)), [Some(2); 2]);
        assert_eq!([1, 16].map(|n| tile(n, Summation::Fastest)), [Some(2), Some(4)]);
        assert_eq!([1, 16].map(|n| tile(n, Summation::Exact)), [None; 2]);
    }
}
