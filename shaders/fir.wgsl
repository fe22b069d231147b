// upfirdn2d with a separable filter: zeros between pixels, padding (negative
// crops), convolution, every down-th pixel.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> src: array<T>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read> taps: array<f32>; // [count], flipped: a correlation
@group(0) @binding(2) var<storage, read_write> dst: array<T>; // [n, dst_h, dst_w, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * dst_h * dst_w * c; c in vectors where T is one
  h: u32,
  w: u32,
  dst_h: u32,
  dst_w: u32,
  c: u32,
  count: u32,
  up: u32,
  down: u32,
  pad: u32, // before the first row and column, two's complement
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"

// The first tap at or past 0 that meets a pixel, where tap j meets row
// (at + j) / up of the source.
fn first_tap(at: i32) -> i32 {
  let up = i32(p.up);
  if (at <= 0) {
    return -at; // row 0
  }
  return (up - at % up) % up;
}

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
  let x = i32(pixel % p.dst_w * p.down) - i32(p.pad);
  let y = i32(pixel / p.dst_w % p.dst_h * p.down) - i32(p.pad);
  let image = pixel / (p.dst_w * p.dst_h);
  let up = i32(p.up);
  var sum = T();
  for (var a = first_tap(y); a < i32(p.count); a += up) {
    let row = (y + a) / up;
    if (row >= i32(p.h)) {
      break;
    }
    var line = T();
    for (var b = first_tap(x); b < i32(p.count); b += up) {
      let column = (x + b) / up;
      if (column >= i32(p.w)) {
        break;
      }
      line = fma(T(taps[b]), src[((image * p.h + u32(row)) * p.w + u32(column)) * p.c + channel], line);
    }
    sum = fma(T(taps[a]), line, sum);
  }
  dst[i] = sum;
}
