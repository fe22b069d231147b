// Group norm, third step: y = act(x scale + shift) by image and channel. The normed
// tensor may be several, channels after channels: a dispatch for each.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> x: array<S>; // [n, pixels, c]
@group(0) @binding(1) var<storage, read> coef: array<S>; // [n, 2, all]: scale, shift
@group(0) @binding(2) var<storage, read_write> dst: array<S>; // [n, pixels, all]
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
    let v = fma(unpaired(x[at]), scale, shift);
    dst[to] = paired(select(activate(v, p.alpha), v, is_nan(v)));
    at += p.c;
    to += p.all;
  }
}
