// Numbers into an image, for processors that load texels faster than what buffers hold:
// pays where a kernel loads each number several times.
//
// x  [pixels, c]
// to [pixels][(c + 7) / 8][8] in texels of four, zeros past c
struct P {
  groups: u32, base: u32,
  total: u32, // eights of channels of all pixels
  c: u32,
}
#if IN8
@group(0) @binding(0) var<storage, read> x: array<vec4<u64>>;
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
#endif
@group(0) @binding(1) var to: texture_storage_2d<rgba32float, write>;
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"
#if IN8
#include "f8.wgsl"
#endif

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = group_index(id, count);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) { return; }
#if IN8
  let all = unpack(x[i]);
  let lo = all.lo;
  let hi = all.hi;
#else
  let blocks = (p.c + 7u) / 8u;
  let c = i % blocks * 8u;
  let at = i / blocks * p.c + c;
  var lo = vec4f();
  var hi = vec4f();
#for K 4
  if (c + {{K}}u < p.c) { lo[{{K}}] = x[at + {{K}}u]; }
  if (c + {{K + 4}}u < p.c) { hi[{{K}}] = x[at + {{K + 4}}u]; }
#endfor
#endif
  let texel = vec2u((2u * i) % 1024u, (2u * i) / 1024u);
  textureStore(to, texel, lo);
  textureStore(to, texel + vec2u(1u, 0u), hi);
}
