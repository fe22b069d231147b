// A quantile of |x| per image into a slot, exact: order statistics k and k + 1
// by counting bits of the numbers from the top, then linear interpolation as
// torch.quantile does. One workgroup per image; integers, so no order matters.
@group(0) @binding(0) var<storage, read> x: array<u32>; // [n, len], f32 as bits
@group(0) @binding(1) var<storage, read_write> slots: array<f32>; // [slot, n]
struct P {
  groups: u32,
  base: u32,
  len: u32,
  first: u32, // slot * n
  rank: u32, // k
  fraction: f32, // of the way to k + 1
  least: f32, // the result is at least this
  most: f32, // and at most this
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_count: array<atomic<u32>, 256>;
var<workgroup> sh_digit: vec3u; // the digit, how many before it, how many with it
var<workgroup> sh_next: atomic<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let image = group_index(wg, nwg);
  if (image >= p.groups) {
    return;
  }
  let at = image * p.len;
  var prefix = 0u; // the digits found, in place
  var mask = 0u;
  var before = 0u; // numbers below the prefix
  var equal = 0u;
  for (var shift = 32u; shift > 0u;) {
    shift -= 8u;
    atomicStore(&sh_count[lane], 0u);
    if (lane == 0u) {
      atomicStore(&sh_next, 0xffffffffu);
    }
    workgroupBarrier();
    for (var i = lane; i < p.len; i += 256u) {
      let v = x[at + i] & 0x7fffffffu;
      if ((v & mask) == prefix) {
        atomicAdd(&sh_count[(v >> shift) & 255u], 1u);
      }
    }
    workgroupBarrier();
    if (lane == 0u) {
      var digit = 0u;
      var below = before;
      var here = atomicLoad(&sh_count[0]);
      while (digit < 255u && below + here <= p.rank) {
        below += here;
        digit += 1u;
        here = atomicLoad(&sh_count[digit]);
      }
      sh_digit = vec3u(digit, below, here);
    }
    workgroupBarrier();
    let found = sh_digit;
    prefix |= found.x << shift;
    mask |= 255u << shift;
    before = found.y;
    equal = found.z;
  }
  // The next number up, where k is the last of its equals.
  for (var i = lane; i < p.len; i += 256u) {
    let v = x[at + i] & 0x7fffffffu;
    if (v > prefix) {
      atomicMin(&sh_next, v);
    }
  }
  workgroupBarrier();
  if (lane == 0u) {
    var next = prefix;
    if (before + equal <= p.rank + 1u && p.rank + 1u < p.len) {
      next = atomicLoad(&sh_next);
    }
    let low = bitcast<f32>(prefix);
    let value = fma(p.fraction, bitcast<f32>(next) - low, low);
    slots[p.first + image] = min(max(value, p.least), p.most);
  }
}
