// Pixels: x in [-1, 1] to RGBA8, x / 2 + 1 / 2 clamped, times 255, rounded half up.
@group(0) @binding(0) var<storage, read> x: array<f32>; // [rows, w, c]
@group(0) @binding(1) var<storage, read_write> dst: array<u32>; // [rows, pitch], r in the low byte
struct P {
  groups: u32,
  base: u32,
  total: u32, // rows * w
  w: u32,
  c: u32,
  pitch: u32, // words from row to row
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

// 0 for NaN, by bits.
fn byte(v: f32) -> u32 {
  let clamped = clamp(fma(v, 0.5, 0.5), 0.0, 1.0);
  let q = u32(floor(fma(clamped, 255.0, 0.5)));
  return select(q, 0u, (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  let at = i * p.c;
  let r = byte(x[at]);
  var g = r;
  var b = r;
  if (p.c > 2u) { // two channels show the first
    g = byte(x[at + 1u]);
    b = byte(x[at + 2u]);
  }
  var alpha = 255u;
  if (p.c == 4u) {
    alpha = byte(x[at + 3u]);
  }
  dst[i / p.w * p.pitch + i % p.w] = r | (g << 8u) | (b << 16u) | (alpha << 24u);
}
