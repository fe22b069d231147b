// The tangent of attention (attention_tangent.wgsl) for heads of {{4 * D}} channels on
// processors that act as GPUs: lane = query, its channels and sums in registers; one load
// brings a key to each of the 8 lanes and broadcasts spread it to all queries.
@group(0) @binding(0) var<storage, read> q: array<vec4f>; // [n, tokens_q, heads d]
@group(0) @binding(1) var<storage, read> k: array<vec4f>; // [n, tokens_k, heads d]
@group(0) @binding(2) var<storage, read> v: array<vec4f>; // [n, tokens_k, heads d]
@group(0) @binding(3) var<storage, read> dq: array<vec4f>;
@group(0) @binding(4) var<storage, read> dk: array<vec4f>;
@group(0) @binding(5) var<storage, read> dv: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> dst: array<vec4f>; // [n, tokens_q, heads d]
struct P {
  groups: u32,
  base: u32,
  tokens_q: u32,
  tokens_k: u32,
  heads: u32,
  scale: f32,
}
@group(0) @binding(7) var<uniform> p: P;
#include "dispatch.wgsl"
const LOW: f32 = -3.0e38;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_index(wg, nwg);
  if (group >= p.groups) {
    return;
  }
  let tiles = (p.tokens_q + 7u) / 8u;
  let token = group % tiles * 8u + lane;
  let head = group / tiles % p.heads;
  let image = group / (tiles * p.heads);
  let c = p.heads * {{D}}u;
  let own = (image * p.tokens_q + min(token, p.tokens_q - 1u)) * c + head * {{D}}u;
#for E D
  let q{{E}} = q[own + {{E}}u] * p.scale;
  let dq{{E}} = dq[own + {{E}}u] * p.scale;
  var a{{E}} = vec4f(); // of P v
  var b{{E}} = vec4f(); // of P (dv + ds v)
#endfor
  var most = LOW;
  var sum = 0.0; // of P
  var slope = 0.0; // of P ds
  for (var key = 0u; key < p.tokens_k; key += 8u) {
    let at = (image * p.tokens_k + min(key + lane, p.tokens_k - 1u)) * c + head * {{D}}u;
#for E D
    let k{{E}} = k[at + {{E}}u];
    let v{{E}} = v[at + {{E}}u];
    let dk{{E}} = dk[at + {{E}}u];
    let dv{{E}} = dv[at + {{E}}u];
#endfor
    let before = most;
#for K 8
    var s{{K}} = 0.0;
    var t{{K}} = 0.0;
#for E D
#for C 4
    let k{{K}}_{{E}}_{{C}} = subgroupBroadcast(k{{E}}[{{C}}], {{K}}u);
    s{{K}} = fma(q{{E}}[{{C}}], k{{K}}_{{E}}_{{C}}, s{{K}});
    t{{K}} = fma(dq{{E}}[{{C}}], k{{K}}_{{E}}_{{C}}, t{{K}});
    t{{K}} = fma(q{{E}}[{{C}}], subgroupBroadcast(dk{{E}}[{{C}}], {{K}}u), t{{K}});
#endfor
#endfor
    let real{{K}} = key + {{K}}u < p.tokens_k;
    most = select(most, max(most, s{{K}}), real{{K}});
#endfor
    let keep = exp(max(before - most, -100.0));
    sum *= keep;
    slope *= keep;
#for E D
    a{{E}} *= keep;
    b{{E}} *= keep;
#endfor
#for K 8
    let p{{K}} = select(0.0, exp(max(s{{K}} - most, -100.0)), real{{K}});
    sum += p{{K}};
    slope = fma(p{{K}}, t{{K}}, slope);
#for E D
#for C 4
    let v{{K}}_{{E}}_{{C}} = subgroupBroadcast(v{{E}}[{{C}}], {{K}}u);
    let dv{{K}}_{{E}}_{{C}} = subgroupBroadcast(dv{{E}}[{{C}}], {{K}}u);
    a{{E}}[{{C}}] = fma(p{{K}}, v{{K}}_{{E}}_{{C}}, a{{E}}[{{C}}]);
    b{{E}}[{{C}}] = fma(p{{K}}, fma(t{{K}}, v{{K}}_{{E}}_{{C}}, dv{{K}}_{{E}}_{{C}}), b{{E}}[{{C}}]);
#endfor
#endfor
#endfor
  }
  if (token < p.tokens_q) {
#for E D
    dst[own + {{E}}u] = (b{{E}} - slope / sum * a{{E}}) / sum;
#endfor
  }
}
