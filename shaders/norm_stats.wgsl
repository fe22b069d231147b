// Group norm, first step: mean and sum of squared deviations of each channel over
// a chunk of pixels, by sums shifted by the chunk's first pixel (stable, one pass).
// The normed tensor may be several, channels after channels: a dispatch for each. Where FROM
// is, it lies in an image of 1024 texels a row.
#include "vector.wgsl"
#if FROM
@group(0) @binding(0) var x: texture_2d<f32>; // [n, pixels, c] in texels
#else
@group(0) @binding(0) var<storage, read> x: array<S>; // [n, pixels, c]
#endif
@group(0) @binding(1) var<storage, read_write> part: array<S>; // [n, chunks, 2, all]: means, M2
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * chunks * c; c in vectors where T is one
  pixels: u32,
  c: u32,
  chunks: u32,
  chunk: u32, // pixels per chunk
  all: u32, // channels of all tensors
  at: u32, // the first one here
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

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
  let block = i / p.c; // image, chunk
  let begin = block % p.chunks * p.chunk;
  let end = min(begin + p.chunk, p.pixels);
  var at = (block / p.chunks * p.pixels + begin) * p.c + channel;
  let shift = load(at);
  var sum = T();
  var squares = T();
  for (var k = begin; k < end; k++) {
    let d = load(at) - shift;
    sum += d;
    squares = fma(d, d, squares);
    at += p.c;
  }
  let mean = sum / f32(end - begin);
  let to = block * 2u * p.all + p.at + channel;
  part[to] = paired(shift + mean);
  part[to + p.all] = paired(max(squares - sum * mean, T()));
}
