// Sines and cosines of a number of each image times a table of frequencies, in
// turns. Products are exact (12-bit pieces), turns lose their whole part exactly,
// then polynomials: builtin sin and cos promise too little (2^-11, near 0 only).
@group(0) @binding(0) var<storage, read> t: array<f32>; // [n]
@group(0) @binding(1) var<storage, read> table: array<f32>; // [half, 3]: turns per unit, 12 bits each
@group(0) @binding(2) var<storage, read_write> dst: array<f32>; // [n, dim]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * dim
  dim: u32,
  half: u32, // frequencies
  cos_first: u32,
  logarithm: u32, // of t first
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"

// The natural logarithm of a positive normal number, to about an ulp.
fn precise_log(x: f32) -> f32 {
  let bits = bitcast<u32>(x) - 0x3f3504f3u; // 1 / sqrt 2
  let e = f32(bitcast<i32>(bits) >> 23u);
  let m = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u);
  let f = m - 1.0;
  let s = f / (2.0 + f);
  let z = s * s;
  let tail = z * fma(z, fma(z, fma(z, fma(z, 0.18181819, 0.22222222), 0.2857143), 0.4), 0.6666667);
  // log m = 2 s + s tail = f - s (f - tail)
  return fma(e, 0.693359375, f - s * (f - tail) + e * -2.12194440e-4);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  let channel = i % p.dim;
  let which = channel / p.half; // 0: first half, 1: second, 2: an odd dim's last, zero
  var x = t[i / p.dim];
  if (p.logarithm != 0u) {
    x = precise_log(x);
  }
  let f = channel % p.half * 3u;
  let x1 = bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
  let x2 = x - x1;
  let big = x1 * table[f];
  let rest = fma(x2, table[f], x1 * table[f + 1u]) + fma(x2, table[f + 1u], x1 * table[f + 2u]);
  let turns = big - round(big) + (rest - round(rest));
  let cosine = (which == 0u) == (p.cos_first != 0u);
  // Quarters: sin(turns) where q is 0, its neighbours else; cos is a quarter ahead.
  let quarter = round(4.0 * turns);
  let q = u32(i32(quarter) + 8 + select(0, 1, cosine)) & 3u;
  let a = (turns - 0.25 * quarter) * 6.2831853;
  let z = a * a;
  let sine = a * fma(z, fma(z, fma(z, fma(z, 2.7557319e-6, -1.9841270e-4), 8.3333333e-3), -0.16666667), 1.0);
  let other = fma(z, fma(z, fma(z, fma(z, 2.4801587e-5, -1.3888889e-3), 0.041666667), -0.5), 1.0);
  let v = select(sine, other, (q & 1u) == 1u);
  dst[i] = select(select(v, -v, q >= 2u), 0.0, which >= 2u);
}
