//! What a shader says about itself: bindings, parameters, workgroup size.

use super::{Kernel, Value, Variant};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use naga::{AddressSpace, ImageClass, ScalarKind, StorageAccess, TypeInner};

/// Why a shader's text cannot be used. These are mistakes of ours: tests walk
/// every variant, so none reaches a user.
#[derive(Debug, thiserror::Error)]
pub enum ShaderError {
    /// The template step failed.
    #[error("kernel {kernel}: {source}")]
    Template {
        /// Kernel and variant.
        kernel: String,
        /// What is wrong, and where.
        source: super::template::TemplateError,
    },
    /// naga refused the text.
    #[error("kernel {kernel}: {message}")]
    Wgsl {
        /// Kernel and variant.
        kernel: String,
        /// naga's message with the line.
        message: String,
    },
    /// A convention of this project is broken.
    #[error("kernel {kernel}: {what}")]
    Convention {
        /// Kernel and variant.
        kernel: String,
        /// Which, and how.
        what: String,
    },
}

/// Texels in a row of an image that a shader reads or writes; texel `i` lies at `(i % IMAGE_ROW, i / IMAGE_ROW)`.
pub const IMAGE_ROW: usize = 1024;

/// A buffer or an image that a shader binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The variable's name.
    pub name: String,
    /// Its `@binding`.
    pub index: u32,
    /// Whether the shader may write it.
    pub writable: bool,
    /// Bytes of one element: the least that may be bound.
    pub stride: u32,
    /// Whether it is an image, of [`IMAGE_ROW`] texels of four f32 a row, else a storage buffer.
    pub image: bool,
}

/// A field of the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// Bytes from the start.
    pub offset: u32,
    /// Whether it is an `f32` (else a `u32`).
    pub float: bool,
}

/// A shader's text and what it declares.
#[derive(Clone, Debug)]
pub struct Reflection {
    /// The expanded WGSL.
    pub text: String,
    /// Storage buffers and images in the order of their binding.
    pub storage: Vec<Binding>,
    /// `@binding` of the parameters (always `@group(0)`).
    pub uniform: u32,
    /// Fields of the parameters.
    pub fields: Vec<Field>,
    /// Bytes of the parameters, a multiple of 16.
    pub uniform_size: u32,
    /// The workgroup's size.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
}

/// Expands and reads a variant.
///
/// # Errors
/// Where the text is wrong; see [`ShaderError`].
pub fn reflect(kernel: &Kernel, variant: &Variant) -> Result<Reflection, ShaderError> {
    let name = || format!("{}/{}", kernel.name, variant.name);
    let text = super::template::expand(kernel.source, variant.defines)
        .map_err(|source| ShaderError::Template { kernel: name(), source })?;
    let module = naga::front::wgsl::parse_str(&text)
        .map_err(|e| ShaderError::Wgsl { kernel: name(), message: e.emit_to_string(&text) })?;
    let broken = |what: &str| ShaderError::Convention { kernel: name(), what: what.to_string() };
    let entry = module
        .entry_points
        .iter()
        .find(|e| e.name == "main")
        .ok_or_else(|| broken("no entry point `main`"))?;
    let mut layouter = naga::proc::Layouter::default();
    layouter
        .update(module.to_ctx())
        .map_err(|e| ShaderError::Wgsl { kernel: name(), message: e.to_string() })?;
    let (mut storage, mut uniform, mut workgroup_bytes) = (Vec::new(), None, 0);
    for (_, var) in module.global_variables.iter() {
        match (var.space, &var.binding) {
            (AddressSpace::Storage { access }, Some(binding)) => storage.push(Binding {
                name: var.name.clone().unwrap_or_default(),
                index: binding.binding,
                writable: access.contains(StorageAccess::STORE),
                stride: match module.types[var.ty].inner {
                    TypeInner::Array { stride, .. } => stride,
                    _ => layouter[var.ty].size,
                },
                image: false,
            }),
            (AddressSpace::Handle, Some(binding)) => storage.push(Binding {
                name: var.name.clone().unwrap_or_default(),
                index: binding.binding,
                writable: matches!(
                    module.types[var.ty].inner,
                    TypeInner::Image { class: ImageClass::Storage { .. }, .. }
                ),
                stride: 16,
                image: true,
            }),
            (AddressSpace::Uniform, Some(binding)) => {
                let TypeInner::Struct { members, span } = &module.types[var.ty].inner else {
                    return Err(broken("the uniform is not a struct"));
                };
                let mut fields = Vec::new();
                for m in members {
                    let float = match module.types[m.ty].inner {
                        TypeInner::Scalar(s) if s.width == 4 && s.kind == ScalarKind::Float => true,
                        TypeInner::Scalar(s) if s.width == 4 && s.kind == ScalarKind::Uint => false,
                        _ => return Err(broken("a parameter is neither u32 nor f32")),
                    };
                    fields.push(Field { name: m.name.clone().unwrap_or_default(), offset: m.offset, float });
                }
                if fields.len() < 2 || fields[0].name != "groups" || fields[1].name != "base" {
                    return Err(broken("the parameters do not begin with `groups, base`"));
                }
                uniform = Some((binding.binding, fields, span.next_multiple_of(16)));
            }
            (AddressSpace::WorkGroup, _) => workgroup_bytes += layouter[var.ty].size,
            _ => {}
        }
    }
    storage.sort_by_key(|b| b.index);
    let (uniform, fields, uniform_size) = uniform.ok_or_else(|| broken("no uniform parameters"))?;
    Ok(Reflection {
        workgroup: entry.workgroup_size,
        text,
        storage,
        uniform,
        fields,
        uniform_size,
        workgroup_bytes,
    })
}

/// Reflections by the addresses of kernel and variant.
type Cache = HashMap<(usize, usize), Arc<Reflection>>;

/// [`reflect`], made once per variant and process.
///
/// # Errors
/// As [`reflect`].
pub fn reflection(
    kernel: &'static Kernel,
    variant: &'static Variant,
) -> Result<Arc<Reflection>, ShaderError> {
    static CACHE: OnceLock<Mutex<Cache>> = OnceLock::new();
    let cache = || CACHE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let key = (std::ptr::from_ref(kernel) as usize, std::ptr::from_ref(variant) as usize);
    if let Some(found) = cache().get(&key) {
        return Ok(found.clone());
    }
    let made = Arc::new(reflect(kernel, variant)?);
    Ok(cache().entry(key).or_insert(made).clone())
}

impl Reflection {
    /// The bytes of the parameters: each field by its name.
    ///
    /// # Errors
    /// A name that is missing, unknown, given twice or of the other type.
    pub fn pack(&self, groups: u32, base: u32, params: &[(&'static str, Value)]) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0u8; self.uniform_size as usize];
        let mut put = |f: &Field, v: [u8; 4]| bytes[f.offset as usize..][..4].copy_from_slice(&v);
        put(&self.fields[0], groups.to_le_bytes());
        put(&self.fields[1], base.to_le_bytes());
        for f in &self.fields[2..] {
            let mut found = params.iter().filter(|(n, _)| *n == f.name);
            match (found.next(), found.next(), f.float) {
                (Some((_, Value::F32(v))), None, true) => put(f, v.to_le_bytes()),
                (Some((_, Value::U32(v))), None, false) => put(f, v.to_le_bytes()),
                (Some(_), None, _) => return Err(format!("parameter `{}` has the wrong type", f.name)),
                (Some(_), Some(_), _) => return Err(format!("parameter `{}` is given twice", f.name)),
                (None, ..) => return Err(format!("parameter `{}` is missing", f.name)),
            }
        }
        if let Some((n, _)) = params.iter().find(|(n, _)| !self.fields[2..].iter().any(|f| f.name == *n)) {
            return Err(format!("no parameter `{n}`"));
        }
        Ok(bytes)
    }
}
