// Which of the kernel's workgroups this is. A dispatch of more than 65535
// groups is folded into y, and a long one is cut: `base` is its first group.
// Every kernel's uniform struct begins with `groups, base`, written by the
// recorder; groups at or past `p.groups` have nothing to do.
fn group_index(id: vec3u, count: vec3u) -> u32 {
  return p.base + id.y * count.x + id.x;
}
