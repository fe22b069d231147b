//! Functions of registers, element by element.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Reference, Variant};

/// `pointwise.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "pointwise",
    check,
    source: include_str!("../../shaders/pointwise.wgsl"),
    variants: &[
        variant("vec4_mul", &[("VEC4", 1), ("MUL", 1), ("BINARY", 1)]),
        variant("scalar_mul", &[("VEC4", 0), ("MUL", 1), ("BINARY", 1)]),
        variant("vec4_div", &[("VEC4", 1), ("DIV", 1), ("BINARY", 1)]),
        variant("scalar_div", &[("VEC4", 0), ("DIV", 1), ("BINARY", 1)]),
        variant("vec4_exp", &[("VEC4", 1), ("EXP", 1)]),
        variant("scalar_exp", &[("VEC4", 0), ("EXP", 1)]),
        variant("vec4_tanh", &[("VEC4", 1), ("TANH", 1)]),
        variant("scalar_tanh", &[("VEC4", 0), ("TANH", 1)]),
        variant("vec4_sqrt", &[("VEC4", 1), ("SQRT", 1)]),
        variant("scalar_sqrt", &[("VEC4", 0), ("SQRT", 1)]),
        variant("vec4_clamp_slot", &[("VEC4", 1), ("CLAMP", 1), ("SLOTTED", 1)]),
        variant("scalar_clamp_slot", &[("VEC4", 0), ("CLAMP", 1), ("SLOTTED", 1)]),
        variant("vec4_mul_slot", &[("VEC4", 1), ("MUL", 1), ("SLOTTED", 1)]),
        variant("scalar_mul_slot", &[("VEC4", 0), ("MUL", 1), ("SLOTTED", 1)]),
        variant("vec4_div_slot", &[("VEC4", 1), ("DIV", 1), ("SLOTTED", 1)]),
        variant("scalar_div_slot", &[("VEC4", 0), ("DIV", 1), ("SLOTTED", 1)]),
    ],
};

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs::NONE }
}

/// The closed list of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `a b`.
    Mul,
    /// `a / b`.
    Div,
    /// `exp(scale a + bias)`, at most `exp 88.7`; scale and bias are the step's numbers.
    Exp,
    /// `tanh a`.
    Tanh,
    /// `sqrt(max(a, 0))`.
    Sqrt,
    /// `a` within plus and minus the image's slot.
    ClampSlot(u32),
    /// `a` times the image's slot.
    MulSlot(u32),
    /// `a` over the image's slot.
    DivSlot(u32),
}

impl Function {
    /// Every function, for tests; slots are 0.
    pub const ALL: [Function; 8] = [
        Function::Mul,
        Function::Div,
        Function::Exp,
        Function::Tanh,
        Function::Sqrt,
        Function::ClampSlot(0),
        Function::MulSlot(0),
        Function::DivSlot(0),
    ];

    /// Whether a second tensor takes part.
    pub fn binary(self) -> bool {
        matches!(self, Function::Mul | Function::Div)
    }

    /// The slot that takes part.
    pub fn slot(self) -> Option<u32> {
        match self {
            Function::ClampSlot(s) | Function::MulSlot(s) | Function::DivSlot(s) => Some(s),
            _ => None,
        }
    }

    fn define(self) -> &'static str {
        match self {
            Function::Mul | Function::MulSlot(_) => "MUL",
            Function::Div | Function::DivSlot(_) => "DIV",
            Function::Exp => "EXP",
            Function::Tanh => "TANH",
            Function::Sqrt => "SQRT",
            Function::ClampSlot(_) => "CLAMP",
        }
    }
}

/// `dst = f(a [, b or slot])`. NaN in `a` stays NaN.
#[derive(Clone, Copy, Debug)]
pub struct Pointwise {
    /// Images.
    pub n: usize,
    /// Numbers per image.
    pub len: usize,
    /// Which.
    pub f: Function,
}

impl Pointwise {
    /// `second` is `b` for binary functions, `slots` (`[slot, n]`) for those with a
    /// slot, and not looked at else; `numbers` are those of `Exp`.
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        a: B,
        second: Option<B>,
        dst: B,
        numbers: &Numbers<B>,
    ) -> Vec<Call<B>> {
        let vec4 = KERNEL.vectors(caps, self.len.is_multiple_of(4));
        let len = if vec4 { self.len / 4 } else { self.len };
        let (binary, slotted) = (u32::from(self.f.binary()), u32::from(self.f.slot().is_some()));
        let variant = KERNEL.pick(caps, |v| {
            v.get("VEC4") == u32::from(vec4)
                && v.get(self.f.define()) == 1
                && v.get("BINARY") == binary
                && v.get("SLOTTED") == slotted
        });
        let mut bindings = vec![("a", a), ("dst", dst)];
        let name = if self.f.binary() { "b" } else { "slots" };
        bindings.extend(second.filter(|_| binary + slotted > 0).map(|b| (name, b)));
        let mut params = vec![
            ("total", (self.n * len).into()),
            ("len", len.into()),
            ("first", (self.f.slot().unwrap_or(0) as usize * self.n).into()),
        ];
        if self.f == Function::Exp {
            numbers.bind(&mut bindings, &mut params);
        }
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n * len, 64))
    }

    /// `second` as in [`Pointwise::calls`], `row` the step's numbers.
    pub fn reference(&self, a: &[f32], second: &[f32], row: &[f32]) -> Reference {
        let mut out = Reference::default();
        let exponent = |x: f64| (x * f64::from(row[0]) + f64::from(row[1])).min(f64::from(88.7f32));
        for (i, x) in a.iter().enumerate() {
            let x = f64::from(*x);
            let y = match self.f.slot() {
                Some(s) => second[s as usize * self.n + i / self.len].into(),
                None if self.f.binary() => second[i].into(),
                None => 0.0,
            };
            let v = match self.f {
                Function::Mul | Function::MulSlot(_) => x * y,
                Function::Div | Function::DivSlot(_) => x / y,
                Function::Exp => exponent(x).exp(),
                Function::Tanh => x.tanh(),
                Function::Sqrt => x.max(0.0).sqrt(),
                Function::ClampSlot(_) => x.max(-y).min(y),
            };
            // An ulp of x is an error of |x v| in exp; tanh is made of exp on many adapters.
            let more = match self.f {
                Function::Exp => (x * v).abs(),
                Function::Tanh => 0.1,
                _ => 0.0,
            };
            out.push(v, v.abs() + more);
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, slot, seed) = (case.of(1..5), case.of(0..3) as u32, case.word());
    let f = match Function::ALL[case.of(0..8)] {
        Function::ClampSlot(_) => Function::ClampSlot(slot),
        Function::MulSlot(_) => Function::MulSlot(slot),
        Function::DivSlot(_) => Function::DivSlot(slot),
        f => f,
    };
    let op = Pointwise { n, len: case.of(1..200) * if case.coin() { 4 } else { 1 }, f };
    let a = data(seed, n * op.len);
    let mut second = data(seed ^ 1, if f.binary() { n * op.len } else { 3 * n });
    second.iter_mut().for_each(|v| *v = v.abs() + 0.01);
    // Row 1 of a table with 3 words a row, from word 1 on.
    let row = [0.7f32, -0.4];
    let table = vec![0, 0, 0, 0, row[0].to_bits(), row[1].to_bits()];
    let numbers = Numbers { counter: 3, table: 4, stride: 3, offset: 1 };
    let mut arrays = vec![bits(&a), bits(&second), vec![0; n * op.len], vec![1], table];
    case.run(&op.calls(&case.caps(), 0, Some(1), 2, &numbers), &mut arrays)?;
    compare(&arrays[2], &op.reference(&a, &second, &row), TOLERANCE)
}
