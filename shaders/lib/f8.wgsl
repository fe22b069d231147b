// Eight numbers of a lane at once, read and written as four 64-bit integers.
struct F8 { lo: vec4f, hi: vec4f }

fn unpack(v: vec4<u64>) -> F8 {
  let l = vec4u(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u));
  let h = vec4u(u32(v.z), u32(v.z >> 32u), u32(v.w), u32(v.w >> 32u));
  return F8(bitcast<vec4f>(l), bitcast<vec4f>(h));
}

fn pair(a: f32, b: f32) -> u64 {
  return u64(bitcast<u32>(a)) | (u64(bitcast<u32>(b)) << 32u);
}

fn packed(lo: vec4f, hi: vec4f) -> vec4<u64> {
  return vec4<u64>(pair(lo.x, lo.y), pair(lo.z, lo.w), pair(hi.x, hi.y), pair(hi.z, hi.w));
}
