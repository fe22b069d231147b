// Standard normal numbers that depend on seed, image index, draw and element
// only: Philox 4x32-10, then the inverse normal distribution by a table of
// cubics. Integer arithmetic throughout: the same bits on every adapter.
@group(0) @binding(0) var<storage, read> table: array<vec4u>; // noise_table.rs
#if VEC4
@group(0) @binding(1) var<storage, read_write> dst: array<vec4u>; // [n, len], f32 as bits
#else
@group(0) @binding(1) var<storage, read_write> dst: array<u32>;
#endif
#if TABLED
@group(0) @binding(2) var<storage, read> counter: array<u32>; // step, first image lo and hi, seed lo and hi
@group(0) @binding(3) var<storage, read> numbers: array<u32>; // a row per step; the draw is a u32 in it
#endif
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * blocks
  len: u32, // numbers per image
  blocks: u32, // ceil(len / 4)
  first_lo: u32, // index of the first image; where TABLED, `counter` has these
  first_hi: u32,
  seed_lo: u32,
  seed_hi: u32,
  draw: u32, // added to the table's draw
  stride: u32,
  offset: u32,
}
@group(0) @binding({{2 + 2 * TABLED}}) var<uniform> p: P;
#include "dispatch.wgsl"
#include "philox.wgsl"

// The f32 bits of the quantile at (w[30..0] + 1/2) / 2^32, sign from bit 31.
fn gaussian(w: u32) -> u32 {
  let t = (w << 1u) | 1u; // tail probability t / 2^33
  let zeros = countLeadingZeros(t);
  let m = t << zeros;
  let row = table[(31u - zeros) * 32u + ((m >> 26u) & 31u)];
  let g = 0u - (m << 6u); // 1 - fraction, 32 bits; 0 stands for 1
  let f = select(g, 0xffffffffu, g == 0u);
  let slope = row.y + mulhi(row.z + mulhi(row.w, f), f);
  let x = row.x + ((mulhi(slope, f) + 32u) >> 6u); // units of 2^-29
  // To f32 by hand: 24 bits, ties to even.
  let z = min(countLeadingZeros(x), 31u);
  let s = x << z; // bit 31 set unless x is 0
  let kept = s >> 8u;
  let rest = s & 0xffu;
  let up = select(0u, 1u, rest > 0x80u || (rest == 0x80u && (kept & 1u) == 1u));
  // exponent of bit 31 - z in units of 2^-29, less the leading one of `kept`
  let bits = ((127u + 1u - z) << 23u) + kept + up;
  return select(bits, 0u, x == 0u) | (w & 0x80000000u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  let image = i / p.blocks;
  let block = i % p.blocks;
  var draw = p.draw;
#if TABLED
  draw += numbers[counter[0] * p.stride + p.offset];
  let first = vec2u(counter[1], counter[2]);
  let seed = vec2u(counter[3], counter[4]);
#else
  let first = vec2u(p.first_lo, p.first_hi);
  let seed = vec2u(p.seed_lo, p.seed_hi);
#endif
  let lo = first.x + image;
  let hi = first.y + select(0u, 1u, lo < image);
  let w = philox(vec4u(block, draw, lo, hi), seed);
#if VEC4
  dst[i] = vec4u(gaussian(w.x), gaussian(w.y), gaussian(w.z), gaussian(w.w));
#else
  let at = image * p.len + block * 4u;
#for J 4
  if (block * 4u + {{J}}u < p.len) {
    dst[at + {{J}}u] = gaussian(w[{{J}}]);
  }
#endfor
#endif
}
