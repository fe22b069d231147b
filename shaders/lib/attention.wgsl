// What the attention kernels share: bindings, parameters, rows. Queries, keys
// and values are channel ranges of tensors of tokens, so q, k and v of one
// product are read in place.
#if IMAGE
// Images of 1024 texels a row: processors that act as GPUs load those fastest.
@group(0) @binding(0) var q: texture_2d<f32>;
@group(0) @binding(1) var k: texture_2d<f32>;
@group(0) @binding(2) var v: texture_2d<f32>;
#if TO
@group(0) @binding(3) var dst: texture_storage_2d<rgba32float, write>;
fn store_dst(i: u32, v: vec4f) { textureStore(dst, vec2u(i % 1024u, i / 1024u), v); }
#else
@group(0) @binding(3) var<storage, read_write> dst: array<vec2<u64>>;
fn load_dst(i: u32) -> vec4f {
  let v = dst[i];
  return bitcast<vec4f>(vec4u(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}
fn store_dst(i: u32, v: vec4f) {
  let b = bitcast<vec4u>(v);
  dst[i] = vec2<u64>(u64(b.x) | (u64(b.y) << 32u), u64(b.z) | (u64(b.w) << 32u));
}
#endif
fn fetch_q(i: u32) -> vec4f { return textureLoad(q, vec2u(i % 1024u, i / 1024u), 0); }
fn fetch_k(i: u32) -> vec4f { return textureLoad(k, vec2u(i % 1024u, i / 1024u), 0); }
fn fetch_v(i: u32) -> vec4f { return textureLoad(v, vec2u(i % 1024u, i / 1024u), 0); }
#else
#if VEC4
@group(0) @binding(0) var<storage, read> q: array<vec4f>; // [n, tokens_q, q_stride]
@group(0) @binding(1) var<storage, read> k: array<vec4f>; // [n, tokens_k, k_stride]
@group(0) @binding(2) var<storage, read> v: array<vec4f>; // [n, tokens_k, v_stride]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4f>; // [n, tokens_q, heads * d]
fn fetch_q(i: u32) -> vec4f { return q[i]; }
fn fetch_k(i: u32) -> vec4f { return k[i]; }
fn fetch_v(i: u32) -> vec4f { return v[i]; }
fn load_dst(i: u32) -> vec4f { return dst[i]; }
fn store_dst(i: u32, v: vec4f) { dst[i] = v; }
#else
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;
#endif
#endif
struct P {
  groups: u32,
  base: u32,
  tokens_q: u32,
  tokens_k: u32,
  heads: u32,
  d: u32, // channels of a head; this and all channels below in vectors where those are loaded
  chunks: u32, // pieces of a head's output channels
  q_stride: u32, // channels of a token
  q_at: u32, // the first one here
  q_head: u32, // from head to head
  k_stride: u32,
  k_at: u32,
  k_head: u32,
  v_stride: u32,
  v_at: u32,
  v_head: u32,
  scale: f32, // of the products
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
fn q_row(image: u32, head: u32, token: u32) -> u32 {
  return (image * p.tokens_q + min(token, p.tokens_q - 1u)) * p.q_stride + p.q_at + head * p.q_head;
}
fn k_row(image: u32, head: u32, token: u32) -> u32 {
  return (image * p.tokens_k + min(token, p.tokens_k - 1u)) * p.k_stride + p.k_at + head * p.k_head;
}
fn v_row(image: u32, head: u32, token: u32) -> u32 {
  return (image * p.tokens_k + min(token, p.tokens_k - 1u)) * p.v_stride + p.v_at + head * p.v_head;
}
fn dst_row(image: u32, head: u32, token: u32) -> u32 {
  return ((image * p.tokens_q + token) * p.heads + head) * p.d;
}
