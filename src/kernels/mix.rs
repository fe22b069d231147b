//! Linear combinations of registers, the work-horse of samplers.

use super::check::{bits, compare, data, floats, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Reference, Variant};

/// `mix.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "mix",
    check,
    source: include_str!("../../shaders/mix.wgsl"),
    variants: &[
        variant("vec4_1", &[("VEC4", 1), ("K", 1), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("scalar_1", &[("VEC4", 0), ("K", 1), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("vec4_1_slots", &[("VEC4", 1), ("K", 1), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("scalar_1_slots", &[("VEC4", 0), ("K", 1), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("vec4_1_strided", &[("VEC4", 1), ("K", 1), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("scalar_1_strided", &[("VEC4", 0), ("K", 1), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("vec4_1_strided_slots", &[("VEC4", 1), ("K", 1), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("scalar_1_strided_slots", &[("VEC4", 0), ("K", 1), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("vec4_2", &[("VEC4", 1), ("K", 2), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("scalar_2", &[("VEC4", 0), ("K", 2), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("vec4_2_slots", &[("VEC4", 1), ("K", 2), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("scalar_2_slots", &[("VEC4", 0), ("K", 2), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("vec4_2_strided", &[("VEC4", 1), ("K", 2), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("scalar_2_strided", &[("VEC4", 0), ("K", 2), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("vec4_2_strided_slots", &[("VEC4", 1), ("K", 2), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("scalar_2_strided_slots", &[("VEC4", 0), ("K", 2), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("vec4_3", &[("VEC4", 1), ("K", 3), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("scalar_3", &[("VEC4", 0), ("K", 3), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("vec4_3_slots", &[("VEC4", 1), ("K", 3), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("scalar_3_slots", &[("VEC4", 0), ("K", 3), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("vec4_3_strided", &[("VEC4", 1), ("K", 3), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("scalar_3_strided", &[("VEC4", 0), ("K", 3), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("vec4_3_strided_slots", &[("VEC4", 1), ("K", 3), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("scalar_3_strided_slots", &[("VEC4", 0), ("K", 3), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("vec4_4", &[("VEC4", 1), ("K", 4), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("scalar_4", &[("VEC4", 0), ("K", 4), ("STRIDED", 0), ("SLOTS", 0)]),
        variant("vec4_4_slots", &[("VEC4", 1), ("K", 4), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("scalar_4_slots", &[("VEC4", 0), ("K", 4), ("STRIDED", 0), ("SLOTS", 1)]),
        variant("vec4_4_strided", &[("VEC4", 1), ("K", 4), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("scalar_4_strided", &[("VEC4", 0), ("K", 4), ("STRIDED", 1), ("SLOTS", 0)]),
        variant("vec4_4_strided_slots", &[("VEC4", 1), ("K", 4), ("STRIDED", 1), ("SLOTS", 1)]),
        variant("scalar_4_strided_slots", &[("VEC4", 0), ("K", 4), ("STRIDED", 1), ("SLOTS", 1)]),
    ],
};

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs::NONE }
}

/// `dst = clamp(sum_i c_i f_i src_i [+ c_dst dst])`, `f_i` a slot or 1.
///
/// The row of numbers holds `c_0 .. c_{k-1}, c_dst, lo, hi`.
#[derive(Clone, Debug, Default)]
pub struct Mix {
    /// Images.
    pub n: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels of `dst`.
    pub c: usize,
    /// The sources: one to four.
    pub terms: Vec<Term>,
    /// Whether `dst` takes part, in place.
    pub accumulate: bool,
    /// Whether the result is clamped.
    pub clamp: bool,
}

/// A source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Term {
    /// Its channels, at least those of `dst`.
    pub channels: usize,
    /// The first channel that takes part.
    pub from: usize,
    /// The slot that multiplies its coefficient.
    pub slot: Option<u32>,
}

const FIELDS: [[&str; 3]; 4] = [
    ["stride0", "from0", "slot0"],
    ["stride1", "from1", "slot1"],
    ["stride2", "from2", "slot2"],
    ["stride3", "from3", "slot3"],
];
const SOURCES: [&str; 4] = ["src0", "src1", "src2", "src3"];

impl Mix {
    /// `srcs` in the order of `terms`; `slots` is `[slot, n]`, needed where a term names one.
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        srcs: &[B],
        dst: B,
        numbers: &Numbers<B>,
        slots: Option<B>,
    ) -> Vec<Call<B>> {
        debug_assert!((1..=4).contains(&self.terms.len()) && srcs.len() == self.terms.len());
        let dense = self.terms.iter().all(|t| t.channels == self.c);
        let slots = slots.filter(|_| self.terms.iter().any(|t| t.slot.is_some()));
        let whole = if dense { self.pixels * self.c } else { self.c };
        let vec4 =
            whole % 4 == 0 && (dense || self.terms.iter().all(|t| t.channels % 4 == 0 && t.from % 4 == 0));
        let vec4 = KERNEL.vectors(caps, vec4);
        let width = if vec4 { 4 } else { 1 };
        let variant = KERNEL.pick(caps, |v| {
            v.get("VEC4") == u32::from(vec4)
                && v.get("K") == self.terms.len() as u32
                && v.get("STRIDED") == u32::from(!dense)
                && v.get("SLOTS") == u32::from(slots.is_some())
        });
        let len = self.pixels * self.c / width;
        let mut params = vec![
            ("total", (self.n * len).into()),
            ("len", len.into()),
            ("n", self.n.into()),
            ("c", (self.c / width).into()),
            ("accumulate", u32::from(self.accumulate).into()),
            ("clamped", u32::from(self.clamp).into()),
        ];
        let mut bindings = vec![("dst", dst)];
        for (i, (term, src)) in self.terms.iter().zip(srcs).enumerate().take(4) {
            params.push((FIELDS[i][0], (term.channels / width).into()));
            params.push((FIELDS[i][1], (term.from / width).into()));
            params.push((FIELDS[i][2], term.slot.unwrap_or(u32::MAX).into()));
            bindings.push((SOURCES[i], src.clone()));
        }
        bindings.extend(slots.map(|s| ("slots", s)));
        numbers.bind(&mut bindings, &mut params);
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n * len, 256))
    }

    /// `row` is the step's row from the instruction's offset on.
    #[allow(clippy::needless_range_loop)] // three arrays by one index
    pub fn reference(&self, row: &[f32], srcs: &[&[f32]], slots: &[f32], dst: &[f32]) -> Reference {
        let mut out = Reference::default();
        let k = self.terms.len();
        for i in 0..self.n * self.pixels * self.c {
            let (pixel, channel, image) = (i / self.c, i % self.c, i / (self.pixels * self.c));
            let (mut v, mut m) = (0.0, 0.0);
            let mut add = |c: f64, x: f32| {
                v += c * f64::from(x);
                m += (c * f64::from(x)).abs();
            };
            if self.accumulate {
                add(row[k].into(), dst[i]);
            }
            for (j, t) in self.terms.iter().enumerate() {
                let factor = t.slot.map_or(1.0, |s| f64::from(slots[s as usize * self.n + image]));
                add(f64::from(row[j]) * factor, srcs[j][pixel * t.channels + t.from + channel]);
            }
            if self.clamp {
                v = v.max(row[k + 1].into()).min(row[k + 2].into());
            }
            out.push(v, m);
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, pixels, seed) = (case.of(1..5), case.of(1..40), case.word());
    let c = case.of(1..12) * if case.coin() { 4 } else { 1 };
    let unit = if c.is_multiple_of(4) && case.of(0..8) > 0 { 4 } else { 1 };
    let dense = case.of(0..4);
    let mut term = |_| {
        let (from, rest) = (unit * case.of(0..3), unit * case.of(0..3));
        let slot = case.coin().then_some(case.of(0..3) as u32);
        match dense {
            0 | 1 => Term { channels: c + from + rest, from, slot },
            2 => Term { channels: c, from: 0, slot },
            _ => Term { channels: c, from: 0, slot: None },
        }
    };
    let terms: Vec<Term> = (0..1 + seed as usize % 4).map(&mut term).collect();
    let op = Mix { n, pixels, c, terms, accumulate: case.coin(), clamp: case.coin() };
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
    let source = |(i, t): (usize, &Term)| data(seed ^ (9 + i as u64), n * pixels * t.channels);
    let srcs: Vec<Vec<f32>> = op.terms.iter().enumerate().map(source).collect();
    let refs: Vec<&[f32]> = srcs.iter().map(Vec::as_slice).collect();
    let want = op.reference(&row, &refs, &floats(&arrays[3]), &floats(&arrays[0]));
    arrays.extend(srcs.iter().map(|s| bits(s)));
    let names: Vec<usize> = (4..4 + k).collect();
    let numbers = Numbers { counter: 1, table: 2, stride: 9, offset: 1 };
    case.run(&op.calls(&case.caps(), &names, 0, &numbers, Some(3)), &mut arrays)?;
    compare(&arrays[0], &want, TOLERANCE)
}
