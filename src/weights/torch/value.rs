//! What a pickle may hold: plain values. Compound ones lie in an arena and are named by their
//! place in it, so that a pickle that refers to itself is no danger.

use std::collections::HashMap;

/// The type of a storage's or an array's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// IEEE double precision.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
    /// A signed integer of so many bytes.
    Int(u8),
    /// An unsigned integer of so many bytes.
    Uint(u8),
    /// A truth value.
    Bool,
}

impl Number {
    /// Bytes of one.
    pub const fn size(self) -> usize {
        match self {
            Number::F64 => 8,
            Number::F32 => 4,
            Number::F16 | Number::Bf16 => 2,
            Number::Int(n) | Number::Uint(n) => n as usize,
            Number::Bool => 1,
        }
    }

    /// In safetensors' words.
    pub fn name(self) -> String {
        match self {
            Number::F64 => "F64".into(),
            Number::F32 => "F32".into(),
            Number::F16 => "F16".into(),
            Number::Bf16 => "BF16".into(),
            Number::Int(n) => format!("I{}", 8 * n),
            Number::Uint(n) => format!("U{}", 8 * n),
            Number::Bool => "BOOL".into(),
        }
    }

    /// By safetensors' word.
    pub fn of_name(name: &str) -> Option<Number> {
        let all = [Number::F64, Number::F32, Number::F16, Number::Bf16, Number::Bool];
        let whole = [1, 2, 4, 8].into_iter().flat_map(|n| [Number::Int(n), Number::Uint(n)]);
        all.into_iter().chain(whole).find(|n| n.name() == name)
    }

    /// One number of exactly [`Number::size`] bytes, little-endian.
    pub(super) fn decode(self, bytes: &[u8]) -> f64 {
        let mut wide = [0; 8];
        wide.iter_mut().zip(bytes).for_each(|(w, b)| *w = *b);
        let raw = u64::from_le_bytes(wide);
        match self {
            Number::F64 => f64::from_bits(raw),
            Number::F32 => f64::from(f32::from_bits(raw as u32)),
            Number::F16 => half::f16::from_bits(raw as u16).to_f64(),
            Number::Bf16 => half::bf16::from_bits(raw as u16).to_f64(),
            Number::Int(n) => {
                let shift = 64 - 8 * u32::from(n.min(8));
                ((raw << shift) as i64 >> shift) as f64
            }
            Number::Uint(_) => raw as f64,
            Number::Bool => f64::from(u8::from(raw != 0)),
        }
    }
}

/// The place of a compound value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub(super) u32);

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A compound value.
    At(Id),
    /// A function, class or type that is known.
    Known(Known),
}

/// What a pickle may name. Nothing of it is ever run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    OrderedDict,
    DefaultDict,
    Namespace,
    Set,
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(Number),
    Device,
    Encode,
    Reconstructor,
    NumpyScalar,
    NumpyReconstruct,
    NumpyArray,
    NumpyDtype,
    /// A type or a constant that is only mentioned.
    Mentioned,
}

/// A compound value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Text, as a range of the pickle.
    Text(usize, usize),
    /// Bytes.
    Bytes(Vec<u8>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// An object's attributes, once they are there.
    Object(Value),
    // Boxed, so that a pickle of many small values takes little more than its own length.
    Storage(Box<Storage>),
    Tensor(Box<Tensor>),
    Dtype(Number),
    Array {
        dtype: Option<Number>,
        shape: Vec<usize>,
        fortran: bool,
        data: Value,
    },
}

/// A storage that is somewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    pub number: Number,
    pub key: String,
    /// Numbers in it.
    pub count: usize,
    /// The first of them in the storage that the key names (legacy views).
    pub first: usize,
}

impl Storage {
    /// A tensor in it, which training does not move.
    pub(super) fn tensor(
        self,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Result<Tensor, String> {
        if shape.len() != strides.len() {
            return Err("a tensor with other strides than sizes".into());
        }
        let count =
            shape.iter().try_fold(1usize, |a, b| a.checked_mul(*b)).ok_or("a tensor beyond all files")?;
        let reach = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |at, (n, s)| at.checked_add(n.saturating_sub(1).checked_mul(*s)?));
        if count > self.count || count > 0 && reach.is_none_or(|last| last >= self.count) {
            return Err(format!(
                "a tensor {shape:?} at {offset} with strides {strides:?} reaches past its storage `{}` of {} numbers",
                self.key, self.count
            ));
        }
        Ok(Tensor { storage: self, offset, shape, strides, requires_grad: false })
    }
}

/// A tensor in a storage.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
    /// Whether training moves it.
    pub requires_grad: bool,
}

/// The global `module.name`, if it is allowed.
pub(super) fn known(module: &str, name: &str) -> Option<Known> {
    use Known::*;
    let numbers: HashMap<&str, Number> = [
        ("DoubleStorage", Number::F64),
        ("FloatStorage", Number::F32),
        ("HalfStorage", Number::F16),
        ("BFloat16Storage", Number::Bf16),
        ("LongStorage", Number::Int(8)),
        ("IntStorage", Number::Int(4)),
        ("ShortStorage", Number::Int(2)),
        ("CharStorage", Number::Int(1)),
        ("ByteStorage", Number::Uint(1)),
        ("BoolStorage", Number::Bool),
    ]
    .into();
    Some(match (module, name) {
        ("collections", "OrderedDict") => OrderedDict,
        ("collections", "defaultdict") => DefaultDict,
        ("argparse", "Namespace") => Namespace,
        ("__builtin__" | "builtins", "set" | "frozenset") => Set,
        (
            "__builtin__" | "builtins",
            "list" | "dict" | "int" | "float" | "bool" | "str" | "tuple" | "object",
        ) => Mentioned,
        ("torch", "Size") => Size,
        ("torch", "device") => Device,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => RebuildParameter,
        ("torch", "float32" | "float16" | "bfloat16" | "float64" | "int64" | "int32") => Mentioned,
        ("torch" | "torch.cuda", name) => match name.strip_suffix("Tensor") {
            Some(of) => numbers.get(format!("{of}Storage").as_str()).map(|_| Mentioned)?,
            None => Storage(*numbers.get(name)?),
        },
        ("_codecs", "encode") => Encode,
        ("copy_reg" | "copyreg", "_reconstructor") => Reconstructor,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => NumpyScalar,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => NumpyReconstruct,
        ("numpy", "ndarray") => NumpyArray,
        ("numpy", "dtype") => NumpyDtype,
        _ => return None,
    })
}
