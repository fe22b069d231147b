// dst = sum of coefficient times source, for registers of a sampler.
// Coefficients come from the row of the step: c_0 .. c_{K-1}, c_dst, lo, hi.
#include "vector.wgsl"
#for I K
@group(0) @binding({{I}}) var<storage, read> src{{I}}: array<T>; // [n, pixels, stride{{I}}], channels from{{I}} ..
#endfor
@group(0) @binding(4) var<storage, read_write> dst: array<T>; // [n, pixels, c]
@group(0) @binding(5) var<storage, read> counter: array<u32>; // the step
@group(0) @binding(6) var<storage, read> numbers: array<f32>; // a row per step
#if SLOTS
@group(0) @binding(7) var<storage, read> slots: array<f32>; // [slot, n], factors of coefficients
#endif
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * len; this and all lengths in vectors where sources are vectors
  len: u32, // per image
  n: u32,
  c: u32,
  accumulate: u32, // add c_dst * dst
  clamped: u32, // to lo, hi
#for I K
  stride{{I}}: u32, // channels of the source
  from{{I}}: u32, // its first one here
  slot{{I}}: u32, // or 0xffffffff
#endfor
  stride: u32,
  offset: u32,
}
@group(0) @binding(8) var<uniform> p: P;
#include "dispatch.wgsl"
#include "numbers.wgsl"

#if SLOTS
fn factor(slot: u32, image: u32) -> f32 {
  let none = slot == 0xffffffffu;
  return select(slots[select(slot, 0u, none) * p.n + image], 1.0, none);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  if (group >= p.groups) {
    return;
  }
#for I K
  let c{{I}} = number({{I}}u);
#endfor
  let keep = number({{K}}u);
  let lo = number({{K + 1}}u);
  let hi = number({{K + 2}}u);
  for (var j = 0u; j < 4u; j++) {
    let i = group * 256u + j * 64u + lane;
    if (i < p.total) {
      var v = T();
      if (p.accumulate != 0u) {
        v = keep * dst[i];
      }
#if STRIDED
      let pixel = i / p.c;
      let channel = i % p.c;
#endif
#if SLOTS
      let image = i / p.len;
#endif
#for I K
#if SLOTS
      let s{{I}} = c{{I}} * factor(p.slot{{I}}, image);
#else
      let s{{I}} = c{{I}};
#endif
#if STRIDED
      v = fma(T(s{{I}}), src{{I}}[pixel * p.stride{{I}} + p.from{{I}} + channel], v);
#else
      v = fma(T(s{{I}}), src{{I}}[i], v);
#endif
#endfor
      if (p.clamped != 0u) {
        // NaN stays: the counter of bad values must see it.
        v = select(clamp(v, T(lo), T(hi)), v, is_nan(v));
      }
      dst[i] = v;
    }
  }
}
