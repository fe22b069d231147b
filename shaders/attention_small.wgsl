// softmax(scale q k^T) v, online, for heads of {{4 * D}} channels on processors that
// act as GPUs: lane = query (QB of them), its channels and sums in registers; one load
// brings a key to each of the 8 lanes and broadcasts spread it to all queries.
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
  let tiles = (p.tokens_q + {{8 * QB}}u - 1u) / {{8 * QB}}u;
  let token = group % tiles * {{8 * QB}}u + lane;
  let head = group / tiles % p.heads;
  let image = group / (tiles * p.heads);
#for B QB
  let own_q{{B}} = q_row(image, head, token + {{8 * B}}u);
#for E D
  let q{{B}}_{{E}} = fetch_q(own_q{{B}} + {{E}}u) * p.scale;
  var a{{B}}_{{E}} = vec4f();
#endfor
  var most{{B}} = LOW;
  var sum{{B}} = 0.0;
#endfor
  for (var key = 0u; key < p.tokens_k; key += 8u) {
    let own_k = k_row(image, head, key + lane);
    let own_v = v_row(image, head, key + lane);
#for E D
    let k{{E}} = fetch_k(own_k + {{E}}u);
    let v{{E}} = fetch_v(own_v + {{E}}u);
#endfor
#for B QB
    let before{{B}} = most{{B}};
#for K 8
    var s{{B}}_{{K}} = 0.0;
#endfor
#endfor
#for K 8
    let real{{K}} = key + {{K}}u < p.tokens_k;
#for E D
#for C 4
    let k{{K}}_{{E}}_{{C}} = subgroupBroadcast(k{{E}}[{{C}}], {{K}}u);
#for B QB
    s{{B}}_{{K}} = fma(q{{B}}_{{E}}[{{C}}], k{{K}}_{{E}}_{{C}}, s{{B}}_{{K}});
#endfor
#endfor
#endfor
#for B QB
    most{{B}} = select(most{{B}}, max(most{{B}}, s{{B}}_{{K}}), real{{K}});
#endfor
#endfor
#for B QB
    let keep{{B}} = exp(max(before{{B}} - most{{B}}, -100.0));
    sum{{B}} *= keep{{B}};
#for E D
    a{{B}}_{{E}} *= keep{{B}};
#endfor
#endfor
#for K 8
#for E D
    let v{{K}}_{{E}} = vec4f(
#for C 4
      subgroupBroadcast(v{{E}}[{{C}}], {{K}}u),
#endfor
    );
#endfor
#for B QB
    let p{{B}}_{{K}} = select(0.0, exp(max(s{{B}}_{{K}} - most{{B}}, -100.0)), real{{K}});
    sum{{B}} += p{{B}}_{{K}};
#for E D
    a{{B}}_{{E}} = fma(vec4f(p{{B}}_{{K}}), v{{K}}_{{E}}, a{{B}}_{{E}});
#endfor
#endfor
#endfor
  }
#for B QB
  if (token + {{8 * B}}u < p.tokens_q) {
    let row = dst_row(image, head, token + {{8 * B}}u);
#for E D
    store_dst(row + {{E}}u, a{{B}}_{{E}} / sum{{B}});
#endfor
  }
#endfor
}
