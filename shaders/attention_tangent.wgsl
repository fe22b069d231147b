// The tangent of attention o = sum_j P_j v_j, P = softmax(s), s_j = scale q k_j:
//   do = sum_j P_j (dv_j + ds_j v_j) - (sum_j P_j ds_j) o,  ds_j = scale (dq k_j + q dk_j)
// in one pass over the keys, online. A workgroup: one query, {{64 * I}} channels of its head; of
// each 64 keys a lane takes one, then each lane sums its channels over them. (lavapipe ends
// a shader's loops after 65535 iterations in all: they are kept short.)
@group(0) @binding(0) var<storage, read> q: array<f32>; // [n, tokens_q, heads d]
@group(0) @binding(1) var<storage, read> k: array<f32>; // [n, tokens_k, heads d]
@group(0) @binding(2) var<storage, read> v: array<f32>; // [n, tokens_k, heads d]
@group(0) @binding(3) var<storage, read> dq: array<f32>;
@group(0) @binding(4) var<storage, read> dk: array<f32>;
@group(0) @binding(5) var<storage, read> dv: array<f32>;
@group(0) @binding(6) var<storage, read_write> dst: array<f32>; // [n, tokens_q, heads d]
struct P {
  groups: u32,
  base: u32,
  tokens_q: u32,
  tokens_k: u32,
  heads: u32,
  d: u32,
  parts: u32, // of {{64 * I}} channels
  scale: f32,
}
@group(0) @binding(7) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_logit: array<f32, 64>;
var<workgroup> sh_weight: array<f32, 64>;
var<workgroup> sh_slope: array<f32, 64>; // of the logit

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  // A group past the end has no keys, but must meet the barriers.
  let keys = select(0u, p.tokens_k, group < p.groups);
  let part = group % p.parts;
  let head = group / p.parts % p.heads;
  let token = group / (p.parts * p.heads) % p.tokens_q;
  let image = group / (p.parts * p.heads * p.tokens_q);
  let c = p.heads * p.d;
  let own = (image * p.tokens_q + token) * c + head * p.d;
  let first = part * {{64 * I}}u + lane;
  var most = -3.0e38;
  var sum = 0.0; // of P
  var slope = 0.0; // of P ds
  var a = array<f32, {{I}}>(); // of P v
  var b = array<f32, {{I}}>(); // of P (dv + ds v)
  for (var block = 0u; block < keys; block += 64u) {
    let key = block + lane;
    var s = 0.0;
    var ds = 0.0;
    if (key < p.tokens_k) {
      let at = (image * p.tokens_k + key) * c + head * p.d;
      for (var e = 0u; e < p.d; e++) {
        s = fma(q[own + e], k[at + e], s);
        ds = fma(dq[own + e], k[at + e], fma(q[own + e], dk[at + e], ds));
      }
    }
    s = select(-3.0e38, s * p.scale, key < p.tokens_k);
    sh_logit[lane] = s;
    workgroupBarrier();
    var now = most;
#for J 64
    now = max(now, sh_logit[{{J}}u]);
#endfor
    let keep = exp(max(most - now, -100.0));
    most = now;
    sh_weight[lane] = select(0.0, exp(s - now), key < p.tokens_k);
    sh_slope[lane] = ds * p.scale;
    workgroupBarrier();
    sum *= keep;
    slope *= keep;
    for (var i = 0u; i < {{I}}u; i++) {
      a[i] *= keep;
      b[i] *= keep;
    }
    let count = min(64u, p.tokens_k - block);
    for (var j = 0u; j < count; j++) {
      let w = sh_weight[j];
      let t = sh_slope[j];
      sum += w;
      slope = fma(w, t, slope);
      let at = (image * p.tokens_k + block + j) * c + head * p.d;
#for N I
      if (first + {{64 * N}}u < p.d) {
        let value = v[at + first + {{64 * N}}u];
        a[{{N}}] = fma(w, value, a[{{N}}]);
        b[{{N}}] = fma(w, fma(t, value, dv[at + first + {{64 * N}}u]), b[{{N}}]);
      }
#endfor
    }
    workgroupBarrier();
  }
  if (keys > 0u) {
#for N I
    if (first + {{64 * N}}u < p.d) {
      dst[own + first + {{64 * N}}u] = (b[{{N}}] - slope / sum * a[{{N}}]) / sum;
    }
#endfor
  }
}
