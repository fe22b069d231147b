//! Floor 1: kernels. One WGSL file and one Rust file per family.
//!
//! A family's Rust file holds its parameters, its variants as a table, the
//! choice of a variant, the size of the dispatch, and the one slow, obvious host
//! reference (`&[f32]` in, f64 inside). Bindings, workgroup sizes and the layout
//! of parameters are *reflected* from the WGSL ([`reflect`]), never typed twice.
//!
//! To add a family: `shaders/x.wgsl`, `src/kernels/x.rs`, one line in [`ALL`].

pub mod act_tangent;
pub mod activation;
pub mod advance;
pub mod attention;
pub mod attention_tangent;
pub mod axis;
pub mod check;
pub mod choices;
pub mod conv;
pub mod copy_channels;
pub mod depthwise;
pub mod elementwise;
pub mod embed;
pub mod fill;
pub mod fir;
pub mod gate;
pub mod mean;
pub mod mix;
pub mod mixture;
pub mod mixture_mean;
pub mod noise;
mod noise_table;
pub mod norm;
pub mod norm_tangent;
pub mod pack;
pub mod peak;
pub mod pixel_norm;
pub mod pointwise;
pub mod pool;
pub mod product;
pub mod quantile;
pub mod reduce;
pub mod reflect;
pub mod resample;
pub mod scalar;
pub mod select;
mod set_hash;
mod summation;
pub mod template;
pub mod texels;
pub mod winograd;

pub use choices::Choices;
pub use set_hash::set_hash;
pub use summation::Summation;

/// A kernel family: one WGSL text and the variants made of it.
#[derive(Debug)]
pub struct Kernel {
    /// The family's name, that of its WGSL file.
    pub name: &'static str,
    /// The WGSL text before [`template::expand`].
    pub source: &'static str,
    /// What can be made of the text.
    pub variants: &'static [Variant],
    /// Compares a random case with the twin, on any device.
    pub check: check::Check,
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
    /// Texels load faster than what buffers hold: a processor that acts as a GPU and
    /// cannot insert into a vector at a place known at run time (AVX-512 can), so
    /// that its driver's loads from buffers go through memory, lane by lane.
    pub images: bool,
    /// What was learnt of the driver, where it was asked.
    pub choices: Option<&'static Choices>,
    /// What the order of a sum may follow from.
    pub summation: Summation,
}

impl Caps {
    /// Core limits, no features, a GPU.
    pub const CORE: Caps = Caps {
        subgroup: None,
        int64: false,
        stream: false,
        images: false,
        choices: None,
        summation: Summation::Image,
    };

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

/// A size; plans check that tensors fit 32 bits.
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Value::U32(v as u32)
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

impl<B> Call<B> {
    /// A call as the list of calls that families return: empty where there is
    /// nothing to do. (`variant` is `None` only for a family without a variant
    /// that needs nothing; a test walks them all.)
    pub(crate) fn new(
        kernel: &'static Kernel,
        variant: Option<&'static Variant>,
        bindings: Vec<(&'static str, B)>,
        params: Vec<(&'static str, Value)>,
        groups: usize,
    ) -> Vec<Self> {
        debug_assert!(variant.is_some(), "{}", kernel.name);
        let Some(variant) = variant.filter(|_| groups > 0) else { return Vec::new() };
        vec![Self { kernel, variant, bindings, params, groups: groups as u64 }]
    }
}

/// Where the numbers of a sampler's instruction lie, which change from step to
/// step: from `offset` on in row `counter[0]` of a table with rows of `stride` words.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<B> {
    /// One word: the step counter on the GPU (`advance`).
    pub counter: B,
    /// The table.
    pub table: B,
    /// Words per row.
    pub stride: u32,
    /// The instruction's first word in each row.
    pub offset: u32,
}

impl<B: Clone> Numbers<B> {
    /// Adds the bindings and parameters that `numbers.wgsl` names.
    fn bind(&self, bindings: &mut Vec<(&'static str, B)>, params: &mut Vec<(&'static str, Value)>) {
        bindings.push(("counter", self.counter.clone()));
        bindings.push(("numbers", self.table.clone()));
        params.push(("stride", self.stride.into()));
        params.push(("offset", self.offset.into()));
    }
}

/// What a kernel should compute: values, and for each the sum of the absolute
/// terms it is made of, which scales the tolerance.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// The exact values.
    pub value: Vec<f64>,
    /// Sums of magnitudes.
    pub magnitude: Vec<f64>,
}

impl Reference {
    /// Adds an element.
    pub fn push(&mut self, value: f64, magnitude: f64) {
        self.value.push(value);
        self.magnitude.push(magnitude);
    }
}

impl Kernel {
    /// The first variant in the table that `caps` meets and `want` accepts.
    /// Tables are written best first and end with a variant that needs nothing,
    /// so callers whose `want` accepts that one always find a variant.
    ///
    /// A variant that is known to be wrong here is passed over, unless all that fit are:
    /// a picture with a warning is better than none ([`Kernel::sound`] gives none).
    pub fn pick(&'static self, caps: &Caps, want: impl Fn(&Variant) -> bool) -> Option<&'static Variant> {
        let fits = |v: &&Variant| caps.meets(v.needs) && want(v);
        self.sound(caps, &want).or_else(|| self.variants.iter().find(fits))
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

/// The two variants of an element-wise family: vectors of four, and scalars.
pub(crate) const WIDTHS: &[Variant] = &[
    Variant { name: "vec4", defines: &[("VEC4", 1)], needs: Needs::NONE },
    Variant { name: "scalar", defines: &[("VEC4", 0)], needs: Needs::NONE },
];

/// Every kernel family, one a line.
#[rustfmt::skip]
pub static ALL: &[&Kernel] = &[
    &act_tangent::KERNEL,
    &advance::KERNEL,
    &attention::SMALL,
    &attention::STREAM,
    &attention::TILE,
    &attention_tangent::KERNEL,
    &attention_tangent::SMALL,
    &axis::KERNEL,
    &conv::STREAM,
    &conv::STREAM3,
    &conv::TILE,
    &copy_channels::KERNEL,
    &depthwise::KERNEL,
    &elementwise::KERNEL,
    &embed::ROWS,
    &embed::TIME,
    &fill::KERNEL,
    &fir::KERNEL,
    &gate::KERNEL,
    &mean::KERNEL,
    &mix::KERNEL,
    &mixture::KERNEL,
    &mixture_mean::KERNEL,
    &noise::KERNEL,
    &norm::APPLY,
    &norm::FINISH,
    &norm::STATS,
    &norm_tangent::KERNEL,
    &pack::COUNT_BAD,
    &pack::KERNEL,
    &peak::ARITHMETIC,
    &peak::COPY,
    &pixel_norm::KERNEL,
    &pointwise::KERNEL,
    &pool::KERNEL,
    &product::KERNEL,
    &quantile::KERNEL,
    &reduce::KERNEL,
    &resample::KERNEL,
    &scalar::KERNEL,
    &select::KERNEL,
    &texels::KERNEL,
    &winograd::INPUT,
    &winograd::OUTPUT,
    &winograd::PRODUCT,
];

/// `a / b`, rounded up.
pub(crate) fn div_up(a: usize, b: usize) -> usize {
    a.div_ceil(b)
}
