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
