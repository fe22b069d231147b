// What the attention kernels share: bindings, parameters, rows. Queries, keys
// and values are channel ranges of tensors of tokens, so q, k and v of one
// product are read in place.
#if VEC4
@group(0) @binding(0) var<storage, read> q: array<vec4f>; // [n, tokens_q, q_stride]
@group(0) @binding(1) var<storage, read> k: array<vec4f>; // [n, tokens_k, k_stride]
@group(0) @binding(2) var<storage, read> v: array<vec4f>; // [n, tokens_k, v_stride]
@group(0) @binding(3) var<storage, read_write> dst: array<vec4f>; // [n, tokens_q, heads * d]
#else
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> dst: array<f32>;
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
