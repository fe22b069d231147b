// Arithmetic on slots, one lane per image: a list of three-address operations
// (src/kernels/scalar.rs names them).
@group(0) @binding(0) var<storage, read> code: array<u32>; // 5 words an operation, then constants
@group(0) @binding(1) var<storage, read> tables: array<f32>; // each: pieces, then 6 words a piece
@group(0) @binding(2) var<storage, read> counter: array<u32>; // the step
@group(0) @binding(3) var<storage, read> numbers: array<f32>; // a row per step
@group(0) @binding(4) var<storage, read_write> slots: array<f32>; // [slot, n]
struct P {
  groups: u32,
  base: u32,
  n: u32,
  start: u32, // the first word in `code`
  count: u32, // operations
  stride: u32,
  offset: u32,
}
@group(0) @binding(5) var<uniform> p: P;
#include "dispatch.wgsl"
#include "numbers.wgsl"

// A slot, a number of the step, or a constant among the code.
fn operand(word: u32, image: u32) -> f32 {
  let i = word & 0x3fffffffu;
  if (word >> 30u == 0u) {
    return slots[i * p.n + image];
  }
  if (word >> 30u == 1u) {
    return number(i);
  }
  return bitcast<f32>(code[p.start + i]);
}

fn is_nan(v: f32) -> bool {
  return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

// A piecewise cubic. A piece holds its left knot, 1 / length, and a, b, c, d of
// a + f (b + f (c + f d)), f in [0, 1]; the last piece whose knot is not beyond x
// is found by halving.
fn table(x: f32, at: u32) -> f32 {
  var low = 0u;
  var high = u32(tables[at]);
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (tables[at + 1u + 6u * middle] <= x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  let q = at + 1u + 6u * low;
  let f = clamp((x - tables[q]) * tables[q + 1u], 0.0, 1.0);
  return fma(fma(fma(tables[q + 5u], f, tables[q + 4u]), f, tables[q + 3u]), f, tables[q + 2u]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let image = group * 64u + lane;
  if (group >= p.groups || image >= p.n) {
    return;
  }
  for (var k = 0u; k < p.count; k++) {
    let at = p.start + 5u * k;
    let a = operand(code[at + 2u], image);
    let b = operand(code[at + 3u], image);
    let c = operand(code[at + 4u], image);
    var v = a;
    switch code[at] {
      case 1u: { v = a + b; }
      case 2u: { v = a - b; }
      case 3u: { v = a * b; }
      case 4u: { v = a / b; }
      case 5u: { v = min(a, b); }
      case 6u: { v = max(a, b); }
      case 7u: { v = sqrt(max(a, 0.0)); }
      case 8u: { v = exp(a); }
      case 9u: { v = log(a); }
      case 10u: { v = select(0.0, 1.0, a < b && !is_nan(a) && !is_nan(b)); }
      case 11u: { v = select(c, b, (bitcast<u32>(a) & 0x7fffffffu) != 0u); }
      case 12u: { v = abs(a); }
      case 13u: { v = fma(a, b, c); }
      case 15u: { v = select(0.0, 1.0, a <= b && !is_nan(a) && !is_nan(b)); }
      case 14u: { v = table(a, code[at + 3u]); }
      case 16u: { v = floor(a); }
      default: {}
    }
    slots[code[at + 1u] * p.n + image] = v;
  }
}
