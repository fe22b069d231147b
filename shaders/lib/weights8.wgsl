// Eight numbers of a lane at once, and weights in eights at binding 1: in an image of
// 1024 texels a row where IMAGE is (its loads need no loop over lanes), else in a buffer.
#if WIDE
#include "f8.wgsl"
#else
struct F8 { lo: vec4f, hi: vec4f }
#endif

#if IMAGE
@group(0) @binding(1) var weight: texture_2d<f32>;

fn load_w(i: u32) -> F8 {
  let at = vec2u((2u * i) % 1024u, (2u * i) / 1024u);
  return F8(textureLoad(weight, at, 0), textureLoad(weight, at + vec2u(1u, 0u), 0));
}
#else
#if IN8
@group(0) @binding(1) var<storage, read> weight: array<vec4<u64>>;

fn load_w(i: u32) -> F8 {
  return unpack(weight[i]);
}
#else
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;

fn load_w(i: u32) -> F8 {
  return F8(weight[2u * i], weight[2u * i + 1u]);
}
#endif
#endif
