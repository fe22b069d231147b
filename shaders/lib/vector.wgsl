// One text for both widths: `T` is what a lane loads at once.
#if VEC4
alias T = vec4f;
alias U = vec4u;
alias Flag = vec4<bool>;
#else
alias T = f32;
alias U = u32;
alias Flag = bool;
#endif
// NaN by bits: a compiler may assume that comparisons meet none.
fn is_nan(v: T) -> Flag {
  return (bitcast<U>(v) & U(0x7fffffffu)) > U(0x7f800000u);
}
// What a buffer holds: pairs of 64-bit integers where processors that act as GPUs load
// those in half the time.
#if PAIRS
alias S = vec2<u64>;
fn unpaired(v: S) -> T {
  return bitcast<vec4f>(vec4u(u32(v.x), u32(v.x >> 32u), u32(v.y), u32(v.y >> 32u)));
}
fn paired(v: T) -> S {
  let b = bitcast<vec4u>(v);
  return S(u64(b.x) | (u64(b.y) << 32u), u64(b.z) | (u64(b.w) << 32u));
}
#else
alias S = T;
fn unpaired(v: S) -> T {
  return v;
}
fn paired(v: T) -> S {
  return v;
}
#endif
