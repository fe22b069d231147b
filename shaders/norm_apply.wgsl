// Group norm, third step: y = act(x scale + shift) by image and channel. The normed
// tensor may be several, channels after channels: a dispatch for each. What they
// and the result lie in is an image of 1024 texels a row where FROM and TO are.
#include "vector.wgsl"
#if FROM
@group(0) @binding(0) var x: texture_2d<f32>; // [n, pixels, c] in texels
#else
@group(0) @binding(0) var<storage, read> x: array<S>; // [n, pixels, c]
#endif
@group(0) @binding(1) var<storage, read> coef: array<S>; // [n, 2, all]: scale, shift
#if TO
@group(0) @binding(2) var dst: texture_storage_2d<rgba32float, write>; // [n, pixels, all] in texels
#else
@group(0) @binding(2) var<storage, read_write> dst: array<S>; // [n, pixels, all]
#endif
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * blocks * c; c in vectors where T is one
  pixels: u32,
  c: u32,
  blocks: u32, // of 8 pixels per image
  all: u32, // channels of all tensors
  at: u32, // the first one here
  alpha: f32,
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"
#include "activation.wgsl"

fn load(i: u32) -> T {
#if FROM
  return textureLoad(x, vec2u(i % 1024u, i / 1024u), 0);
#else
  return unpaired(x[i]);
#endif
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
  let block = i / p.c;
  let image = block / p.blocks;
  let begin = block % p.blocks * 8u;
  let end = min(begin + 8u, p.pixels);
  let first = image * 2u * p.all + p.at + channel;
  let scale = unpaired(coef[first]);
  let shift = unpaired(coef[first + p.all]);
  var at = (image * p.pixels + begin) * p.c + channel;
  var to = (image * p.pixels + begin) * p.all + p.at + channel;
  for (var k = begin; k < end; k++) {
    let v = fma(load(at), scale, shift);
    let y = select(activate(v, p.alpha), v, is_nan(v));
#if TO
    textureStore(dst, vec2u(to % 1024u, to / 1024u), y);
#else
    dst[to] = paired(y);
#endif
    at += p.c;
    to += p.all;
  }
}
