// Eight numbers of a lane at once, and weights in eights at binding 1: in an image of
// 1024 texels a row where IMAGE is (its loads need no loop over lanes), else in a buffer.
struct F8 { lo: vec4f, hi: vec4f }

#if WIDE
fn unpack(v: vec4<u64>) -> F8 {
  let l = vec4u(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u));
  let h = vec4u(u32(v.z), u32(v.z >> 32u), u32(v.w), u32(v.w >> 32u));
  return F8(bitcast<vec4f>(l), bitcast<vec4f>(h));
}

fn pair(a: f32, b: f32) -> u64 {
  return u64(bitcast<u32>(a)) | (u64(bitcast<u32>(b)) << 32u);
}
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
