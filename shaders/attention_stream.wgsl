// softmax(scale q k^T) v, online, for processors that act as GPUs: a subgroup of
// 8 takes 16 queries of a head. Products: lane = key; output: lane = 4 channels;
// broadcasts from constant lanes spread the rest. The output tensor holds the
// sums between blocks of keys, so no head is too wide for registers.
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
  let tiles = (p.tokens_q + 15u) / 16u;
  let token = group % tiles * 16u;
  let head = group / tiles % p.heads;
  let image = group / (tiles * p.heads);
  let own_q = q_row(image, head, token + lane);
  let next_q = q_row(image, head, token + 8u + lane);
#for Q 16
  var most{{Q}} = LOW;
  var sum{{Q}} = 0.0; // over this lane's keys
  let row{{Q}} = dst_row(image, head, min(token + {{Q}}u, p.tokens_q - 1u));
#endfor
  for (var key = 0u; key < p.tokens_k; key += {{8 * G}}u) {
#for I G
    let own_k{{I}} = k_row(image, head, key + {{8 * I}}u + lane);
    let real{{I}} = key + {{8 * I}}u + lane < p.tokens_k;
#for Q 16
    var s{{Q}}_{{I}} = 0.0;
#endfor
#endfor
    for (var e = 0u; e < p.d; e++) {
      let low = fetch_q(own_q + e);
      let high = fetch_q(next_q + e);
#for I G
      let y{{I}} = fetch_k(own_k{{I}} + e);
#endfor
#for C 4
#for L 8
      let x{{L}}_{{C}} = subgroupBroadcast(low[{{C}}], {{L}}u);
      let x{{L + 8}}_{{C}} = subgroupBroadcast(high[{{C}}], {{L}}u);
#endfor
#for Q 16
#for I G
      s{{Q}}_{{I}} = fma(x{{Q}}_{{C}}, y{{I}}[{{C}}], s{{Q}}_{{I}});
#endfor
#endfor
#endfor
    }
#for Q 16
    let before{{Q}} = most{{Q}};
    var top{{Q}} = LOW;
#for I G
    s{{Q}}_{{I}} = select(LOW, s{{Q}}_{{I}} * p.scale, real{{I}});
    top{{Q}} = max(top{{Q}}, s{{Q}}_{{I}});
#endfor
    most{{Q}} = max(before{{Q}}, subgroupMax(top{{Q}}));
    let keep{{Q}} = exp(max(before{{Q}} - most{{Q}}, -100.0));
    sum{{Q}} *= keep{{Q}};
#for I G
    let p{{Q}}_{{I}} = select(0.0, exp(max(s{{Q}}_{{I}} - most{{Q}}, -100.0)), real{{I}});
    sum{{Q}} += p{{Q}}_{{I}};
#endfor
#endfor
    for (var e = 0u; e < p.d; e += 8u) {
      let c = min(e + lane, p.d - 1u);
#for Q 16
      var a{{Q}} = vec4f();
      if (key > 0u) {
        a{{Q}} = keep{{Q}} * load_dst(row{{Q}} + c);
      }
#endfor
#for I G
#for K 8
      let v{{I}}_{{K}} = fetch_v(v_row(image, head, key + {{8 * I + K}}u) + c);
#for Q 16
      a{{Q}} = fma(vec4f(subgroupBroadcast(p{{Q}}_{{I}}, {{K}}u)), v{{I}}_{{K}}, a{{Q}});
#endfor
#endfor
#endfor
      if (e + lane < p.d) {
#for Q 16
        if (token + {{Q}}u < p.tokens_q) {
          store_dst(row{{Q}} + c, a{{Q}});
        }
#endfor
      }
    }
  }
#for Q 16
  let over{{Q}} = 1.0 / subgroupAdd(sum{{Q}});
  if (token + {{Q}}u < p.tokens_q) {
    for (var c = lane; c < p.d; c += 8u) {
      store_dst(row{{Q}} + c, load_dst(row{{Q}} + c) * over{{Q}});
    }
  }
#endfor
}
