//! Embeddings: of a number by sines and cosines, of a class by a table.

use super::check::{bits, compare, data, same, Case};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant, WIDTHS};
use std::f64::consts::TAU;

/// `time_embed.wgsl`.
pub static TIME: Kernel = Kernel {
    name: "time_embed",
    check: check_time,
    source: include_str!("../../shaders/time_embed.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// `embed.wgsl`.
pub static ROWS: Kernel = Kernel {
    name: "embed",
    check: check_rows,
    source: include_str!("../../shaders/embed.wgsl"),
    variants: WIDTHS,
};

/// `[sin(2 pi f t), cos(2 pi f t)]` for the frequencies of a table, in turns per
/// unit of `t`; an odd `dim` ends in a zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeEmbed {
    /// Images.
    pub n: usize,
    /// Channels of the result.
    pub dim: usize,
    /// Cosines before sines.
    pub cos_first: bool,
    /// Of `log t` in place of `t`.
    pub log: bool,
}

/// The frequencies of diffusers' `get_timestep_embedding`, `half = dim / 2` of
/// them: `scale max_period^(-i / (half - shift)) / (2 pi)` turns.
pub fn positional(half: usize, shift: f64, scale: f64, max_period: f64) -> Vec<f64> {
    (0..half).map(|i| scale * (-max_period.ln() * i as f64 / (half as f64 - shift)).exp() / TAU).collect()
}

/// The kernel's `table`: each frequency in three pieces of 12 bits, whose products
/// with 12 bits of `t` are exact.
pub fn frequency_table(turns: &[f64]) -> Vec<f32> {
    let piece = |v: f64| f32::from_bits((v as f32).to_bits() & 0xffff_f000);
    let mut out = Vec::with_capacity(3 * turns.len());
    for &f in turns {
        let a = piece(f);
        let b = piece(f - f64::from(a));
        out.extend([a, b, piece(f - f64::from(a) - f64::from(b))]);
    }
    out
}

impl TimeEmbed {
    /// `t` is `[n]`, `table` holds [`frequency_table`] of `dim / 2` frequencies.
    pub fn calls<B: Clone>(&self, caps: &Caps, t: B, table: B, dst: B) -> Vec<Call<B>> {
        let total = self.n * self.dim;
        let params = vec![
            ("total", total.into()),
            ("dim", self.dim.into()),
            ("half", (self.dim / 2).into()),
            ("cos_first", u32::from(self.cos_first).into()),
            ("logarithm", u32::from(self.log).into()),
        ];
        let bindings = vec![("t", t), ("table", table), ("dst", dst)];
        let groups = if self.dim < 2 { 0 } else { div_up(total, 64) };
        Call::new(&TIME, TIME.pick(caps, |_| true), bindings, params, groups)
    }

    /// The exact values. The magnitude is an absolute error's: with `log` it grows
    /// with the argument, whose logarithm is an f32.
    pub fn reference(&self, t: &[f32], turns: &[f64]) -> Reference {
        let mut out = Reference::default();
        let half = self.dim / 2;
        for t in t {
            let t = if self.log { f64::from(*t).ln() } else { f64::from(*t) };
            for i in 0..self.dim {
                let angle = TAU * turns[i % half] * t;
                let v = match (i / half, self.cos_first) {
                    (0, true) | (1, false) => angle.cos(),
                    (0, false) | (1, true) => angle.sin(),
                    _ => 0.0,
                };
                out.push(v, 1.0 + if self.log { angle.abs() / 4.0 } else { 0.0 });
            }
        }
        out
    }
}

/// A row of a table for each image.
#[derive(Clone, Copy, Debug, Default)]
pub struct Embed {
    /// Images.
    pub n: usize,
    /// Rows of the table.
    pub rows: usize,
    /// Channels.
    pub c: usize,
}

impl Embed {
    /// `label` is a whole number per image, as f32 (beyond the table: its nearest row), `table` is
    /// `[rows, c]`, `dst` `[n, c]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, label: B, table: B, dst: B) -> Vec<Call<B>> {
        let (vec4, width) = if ROWS.vectors(caps, self.c.is_multiple_of(4)) { (1, 4) } else { (0, 1) };
        let total = self.n * self.c / width;
        let params =
            vec![("total", total.into()), ("c", (self.c / width).into()), ("rows", self.rows.into())];
        let bindings = vec![("label", label), ("table", table), ("dst", dst)];
        Call::new(&ROWS, ROWS.pick(caps, |v| v.get("VEC4") == vec4), bindings, params, div_up(total, 64))
    }

    /// Copies on the host.
    pub fn reference(&self, label: &[f32], table: &[f32]) -> Vec<f32> {
        let row = |l: &f32| &table[(*l as usize).min(self.rows - 1) * self.c..][..self.c];
        label.iter().flat_map(row).copied().collect()
    }
}

fn check_time(case: &mut Case<'_>) -> Result<(), String> {
    let (n, dim, cos_first) = (case.of(1..5), case.of(2..70), case.coin());
    let (kind, shift, seed) = (case.of(0..3), case.of(0..2), case.word());
    let op = TimeEmbed { n, dim, cos_first, log: kind == 2 };
    let turns: Vec<f64> = match kind {
        0 if dim / 2 > shift => positional(dim / 2, shift as f64, 1.0, 10000.0),
        _ => data(seed ^ 1, dim / 2).iter().map(|v| 16.0 * f64::from(v.clamp(-1.0, 1.0))).collect(),
    };
    let time = |v: &f32| match kind {
        0 => 999.0 - v * 300.0,
        1 => v.clamp(-1.0, 1.0) * 20.0, // 16 x 20 x 2 pi = 2000 rad
        _ => (v * 3.0).exp(),
    };
    let times: Vec<f32> = data(seed, n).iter().map(time).collect();
    let mut arrays = vec![bits(&times), bits(&frequency_table(&turns)), vec![0; n * dim]];
    case.run(&op.calls(&case.caps(), 0, 1, 2), &mut arrays)?;
    compare(&arrays[2], &op.reference(&times, &turns), 1e-6)
}

fn check_rows(case: &mut Case<'_>) -> Result<(), String> {
    let (n, rows, seed) = (case.of(1..9), case.of(1..12), case.word());
    let op = Embed { n, rows, c: case.of(1..20) * if case.coin() { 4 } else { 1 } };
    let table = data(seed, rows * op.c);
    // One is far out of range.
    let label = |i: u32| if i == 3 { 1e30 } else { ((seed as u32 >> i) % 14) as f32 };
    let labels: Vec<f32> = (0..n as u32).map(label).collect();
    let mut arrays = vec![bits(&labels), bits(&table), vec![0; n * op.c]];
    case.run(&op.calls(&case.caps(), 0, 1, 2), &mut arrays)?;
    same(&arrays[2], &bits(&op.reference(&labels, &table)))
}
