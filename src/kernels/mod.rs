//! Floor 1: kernels. One WGSL file and one Rust file per family.
//!
//! A family's Rust file holds its parameters, its variants as a table, the
//! choice of a variant, the size of the dispatch, and the one slow, obvious host
//! reference (`&[f32]` in, f64 inside). Bindings, workgroup sizes and the layout
//! of parameters are *reflected* from the WGSL ([`reflect`]), never typed twice.
//!
//! To add a family: `shaders/x.wgsl`, `src/kernels/x.rs`, one line in [`ALL`].

pub mod conv;
pub mod reflect;
pub mod template;

/// A kernel family: one WGSL text and the variants made of it.
#[derive(Debug)]
pub struct Kernel {
    /// The family's name, that of its WGSL file.
    pub name: &'static str,
    /// The WGSL text before [`template::expand`].
    pub source: &'static str,
    /// What can be made of the text.
    pub variants: &'static [Variant],
}

/// One way to compile a kernel.
#[derive(Debug)]
pub struct Variant {
    /// Unique in its family.
    pub name: &'static str,
    /// Names that the template replaces or tests.
    pub defines: &'static [(&'static str, u32)],
    /// What the adapter must have.
    pub needs: Needs,
}

/// Features that a variant cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Subgroups of exactly this many lanes.
    pub subgroup: Option<u32>,
    /// 64-bit integers.
    pub int64: bool,
}

impl Needs {
    /// Core WebGPU: every adapter has it.
    pub const NONE: Needs = Needs { subgroup: None, int64: false };
}

/// What a kernel's choice of variant may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The size of a subgroup where subgroups may be used and it is fixed.
    pub subgroup: Option<u32>,
    /// 64-bit integers in shaders.
    pub int64: bool,
    /// Prefer the stream family: a processor that acts as a GPU.
    pub stream: bool,
}

impl Caps {
    /// Core limits, no features, a GPU.
    pub const CORE: Caps = Caps { subgroup: None, int64: false, stream: false };

    /// Whether a variant may run.
    pub fn meets(&self, needs: Needs) -> bool {
        needs.subgroup.is_none_or(|n| self.subgroup == Some(n)) && (!needs.int64 || self.int64)
    }
}

/// A parameter of a kernel: one field of its uniform struct.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A `u32` field.
    U32(u32),
    /// An `f32` field.
    F32(f32),
}

impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Value::U32(v)
    }
}

impl From<f32> for Value {
    fn from(v: f32) -> Self {
        Value::F32(v)
    }
}

/// One dispatch without a device in it. `B` names a resource: a tensor in a
/// plan, an array in a test.
///
/// Every kernel's uniform struct begins with `groups: u32, base: u32`, which the
/// recorder writes: a kernel may be cut or folded (`shaders/lib/dispatch.wgsl`).
#[derive(Clone, Debug)]
pub struct Call<B> {
    /// The family.
    pub kernel: &'static Kernel,
    /// The variant, one of the family's.
    pub variant: &'static Variant,
    /// (WGSL variable, resource), each binding of the variant once.
    pub bindings: Vec<(&'static str, B)>,
    /// (field, value), each field of the uniform struct but `groups` and `base` once.
    pub params: Vec<(&'static str, Value)>,
    /// Workgroups.
    pub groups: u64,
}

impl Kernel {
    /// The first variant in the table that `caps` meets and `want` accepts.
    /// Tables are written best first and end with a variant that needs nothing,
    /// so callers whose `want` accepts that one always find a variant.
    pub fn pick(&self, caps: &Caps, want: impl Fn(&Variant) -> bool) -> Option<&'static Variant> {
        self.variants.iter().find(|v| caps.meets(v.needs) && want(v))
    }

    /// A variant by name.
    pub fn variant(&self, name: &str) -> Option<&'static Variant> {
        self.variants.iter().find(|v| v.name == name)
    }
}

impl Variant {
    /// The value of a define, 0 where absent.
    pub fn get(&self, name: &str) -> u32 {
        self.defines.iter().find(|(n, _)| *n == name).map_or(0, |d| d.1)
    }
}

/// Every kernel family.
pub static ALL: &[&Kernel] = &[&conv::TILE, &conv::STREAM];

/// What a host reference computes: values in f64 and, for the tolerance, the sum
/// of the magnitudes of the terms that each value is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// The values.
    pub value: Vec<f64>,
    /// Sums of magnitudes.
    pub magnitude: Vec<f64>,
}

impl Reference {
    /// Appends a value.
    pub fn push(&mut self, value: f64, magnitude: f64) {
        self.value.push(value);
        self.magnitude.push(magnitude);
    }
}
