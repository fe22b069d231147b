// softmax(scale q k^T) v, online, for heads of {{4 * D}} channels on processors that
// act as GPUs: lane = query, its channels and sums in registers; one load brings
// a key to each of the 8 lanes and broadcasts spread it.
// Bindings and parameters: lib/attention.wgsl.
#include "attention.wgsl"
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
  let own_q = q_row(image, head, token);
#for E D
  let q{{E}} = q[own_q + {{E}}u] * p.scale;
  var a{{E}} = vec4f();
#endfor
  var most = LOW;
  var sum = 0.0;
  for (var key = 0u; key < p.tokens_k; key += 8u) {
    let own_k = k_row(image, head, key + lane);
    let own_v = v_row(image, head, key + lane);
#for E D
    let k{{E}} = k[own_k + {{E}}u];
    let v{{E}} = v[own_v + {{E}}u];
#endfor
    let before = most;
#for K 8
    var s{{K}} = 0.0;
#for E D
#for C 4
    s{{K}} = fma(q{{E}}[{{C}}], subgroupBroadcast(k{{E}}[{{C}}], {{K}}u), s{{K}});
#endfor
#endfor
    let real{{K}} = key + {{K}}u < p.tokens_k;
    most = select(most, max(most, s{{K}}), real{{K}});
#endfor
    let keep = exp(max(before - most, -100.0));
    sum *= keep;
#for E D
    a{{E}} *= keep;
#endfor
#for K 8
    let p{{K}} = select(0.0, exp(max(s{{K}} - most, -100.0)), real{{K}});
    sum += p{{K}};
#for E D
    a{{E}} = fma(vec4f(p{{K}}), vec4f(
#for C 4
      subgroupBroadcast(v{{E}}[{{C}}], {{K}}u),
#endfor
    ), a{{E}});
#endfor
#endfor
  }
  if (token < p.tokens_q) {
    let row = dst_row(image, head, token);
#for E D
    dst[row + {{E}}u] = a{{E}} / sum;
#endfor
  }
}
