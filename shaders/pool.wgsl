// The largest or the mean of k x k pixels, of those that lie within the image.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> src: array<T>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read_write> dst: array<T>; // [n, dst_h, dst_w, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * dst_h * dst_w * c; c in vectors where T is one
  h: u32,
  w: u32,
  dst_h: u32,
  dst_w: u32,
  c: u32,
  k: u32, // side of the window
  step: u32, // pixels from one window to the next
  pad: u32, // rows above and columns left of the image that the first window begins with
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  let channel = i % p.c;
  let pixel = i / p.c;
  let x = pixel % p.dst_w * p.step;
  let y = pixel / p.dst_w % p.dst_h * p.step;
  let image = pixel / (p.dst_w * p.dst_h) * p.h;
  let y0 = max(y, p.pad) - p.pad;
  let x0 = max(x, p.pad) - p.pad;
  let y1 = min(y + p.k - p.pad, p.h);
  let x1 = min(x + p.k - p.pad, p.w);
#if MAX
  var best = src[((image + y0) * p.w + x0) * p.c + channel];
#else
  var sum = T();
#endif
  for (var a = y0; a < y1; a++) {
    for (var b = x0; b < x1; b++) {
      let v = src[((image + a) * p.w + b) * p.c + channel];
#if MAX
      // What is no number stays one.
      best = select(select(max(best, v), best, is_nan(best)), v, is_nan(v));
#else
      sum += v;
#endif
    }
  }
#if MAX
  dst[i] = best;
#else
  dst[i] = sum / f32((y1 - y0) * (x1 - x0));
#endif
}
