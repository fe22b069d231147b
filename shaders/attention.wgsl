// softmax(scale q k^T) v, online: a workgroup takes 16 queries of a head and 16
// keys at a time; a lane takes 4 queries and one key, then 4 queries and {{J}}
// vectors of output channels. Bindings and parameters: lib/attention.wgsl.
#include "attention.wgsl"
const LOW: f32 = -3.0e38;
var<workgroup> sh_q: array<array<vec4f, 16>, 16>; // [channels / 4][query]
var<workgroup> sh_k: array<array<vec4f, 16>, 16>; // [channels / 4][key]
var<workgroup> sh_s: array<array<vec4f, 4>, 16>; // [key][queries / 4]
var<workgroup> sh_p: array<array<vec4f, 4>, 16>;

// Four channels from 4 e on, 0 past the head's end.
#if VEC4
fn load_q(row: u32, e: u32) -> vec4f {
  return select(vec4f(), q[row + min(e, p.d - 1u)], e < p.d);
}
fn load_k(row: u32, e: u32) -> vec4f {
  return select(vec4f(), k[row + min(e, p.d - 1u)], e < p.d);
}
fn load_v(row: u32, e: u32) -> vec4f {
  return v[row + min(e, p.d - 1u)];
}
#else
fn load_q(row: u32, e: u32) -> vec4f {
  let c = vec4u(4u * e) + vec4u(0u, 1u, 2u, 3u);
  let i = vec4u(row) + min(c, vec4u(p.d - 1u));
  return select(vec4f(), vec4f(q[i.x], q[i.y], q[i.z], q[i.w]), c < vec4u(p.d));
}
fn load_k(row: u32, e: u32) -> vec4f {
  let c = vec4u(4u * e) + vec4u(0u, 1u, 2u, 3u);
  let i = vec4u(row) + min(c, vec4u(p.d - 1u));
  return select(vec4f(), vec4f(k[i.x], k[i.y], k[i.z], k[i.w]), c < vec4u(p.d));
}
fn load_v(row: u32, e: u32) -> vec4f {
  let i = vec4u(row) + min(vec4u(4u * e) + vec4u(0u, 1u, 2u, 3u), vec4u(p.d - 1u));
  return vec4f(v[i.x], v[i.y], v[i.z], v[i.w]);
}
#endif

fn store(row: u32, e: u32, value: vec4f) {
#if VEC4
  if (e < p.d) {
    dst[row + e] = value;
  }
#else
#for I 4
  if (4u * e + {{I}}u < p.d) {
    dst[row + 4u * e + {{I}}u] = value[{{I}}];
  }
#endfor
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  if (group >= p.groups) {
    return;
  }
  let tiles = (p.tokens_q + 15u) / 16u;
  let chunk = group % p.chunks;
  let tile = group / p.chunks % tiles;
  let head = group / (p.chunks * tiles) % p.heads;
  let image = group / (p.chunks * tiles * p.heads);
#if VEC4
  let vectors = p.d;
#else
  let vectors = (p.d + 3u) / 4u;
#endif
  let low = lane % 16u; // key, or vector of channels
  let high = lane / 16u; // four queries
  var most = vec4f(LOW);
  var sum = vec4f();
#for I J
#for Q 4
  var a{{I}}{{Q}} = vec4f();
#endfor
#endfor
  for (var key = 0u; key < p.tokens_k; key += 16u) {
    var s = vec4f();
    for (var e = 0u; e < vectors; e += 16u) {
      workgroupBarrier();
      let own_q = q_row(image, head, tile * 16u + low);
      let own_k = k_row(image, head, key + low);
#for I 4
      sh_q[high + {{4 * I}}u][low] = load_q(own_q, e + high + {{4 * I}}u);
      sh_k[high + {{4 * I}}u][low] = load_k(own_k, e + high + {{4 * I}}u);
#endfor
      workgroupBarrier();
      let count = min(vectors - e, 16u);
      for (var i = 0u; i < count; i++) {
        let x = sh_k[i][low];
#for Q 4
        let y{{Q}} = sh_q[i][4u * high + {{Q}}u];
        s[{{Q}}] = fma(x.x, y{{Q}}.x, fma(x.y, y{{Q}}.y, fma(x.z, y{{Q}}.z, fma(x.w, y{{Q}}.w, s[{{Q}}]))));
#endfor
      }
    }
    let real = key + low < p.tokens_k;
    s = select(vec4f(LOW), s * p.scale, real);
    sh_s[low][high] = s;
    workgroupBarrier();
    let before = most;
    for (var i = 0u; i < 16u; i++) {
      most = max(most, sh_s[i][high]);
    }
    sh_p[low][high] = select(vec4f(), exp(s - most), real);
    workgroupBarrier();
    let keep = exp(max(before - most, vec4f(-100.0)));
    sum *= keep;
#for I J
#for Q 4
    a{{I}}{{Q}} *= keep[{{Q}}];
#endfor
#endfor
    for (var i = 0u; i < 16u; i++) {
      let w = sh_p[i][high];
      sum += w;
      let row = v_row(image, head, key + i);
#for I J
      let x{{I}} = load_v(row, (chunk * {{J}}u + {{I}}u) * 16u + low);
#for Q 4
      a{{I}}{{Q}} = fma(vec4f(w[{{Q}}]), x{{I}}, a{{I}}{{Q}});
#endfor
#endfor
    }
  }
#for Q 4
  let token{{Q}} = tile * 16u + 4u * high + {{Q}}u;
  if (token{{Q}} < p.tokens_q) {
#for I J
    store(dst_row(image, head, token{{Q}}), (chunk * {{J}}u + {{I}}u) * 16u + low, a{{I}}{{Q}} / sum[{{Q}}]);
#endfor
  }
#endfor
}
