//! DirectX: naga's HLSL, as wgpu asks for it, through Microsoft's compiler.

use crate::{Compiler, Result, Shader, Verdict};
use naga::back::hlsl;
use naga::valid::Capabilities;
use std::ffi::c_void;
use std::ptr::null_mut;
use undiffuse::kernels::Variant;

/// A COM object: a pointer to a table of methods.
type Object = *mut *const *const c_void;

#[repr(C)]
struct Guid(u32, u16, u16, [u8; 8]);

const COMPILER: Guid = Guid(0x73e22d93, 0xe6ce, 0x47f3, [0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0]);
const COMPILER3: Guid = Guid(0x228b4687, 0x5a6a, 0x4730, [0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54]);
const RESULT: Guid = Guid(0x58346cda, 0xdde7, 0x4497, [0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59]);
const UTF8: u32 = 65001;

/// `DxcBuffer`.
#[repr(C)]
struct Text {
    data: *const u8,
    size: usize,
    encoding: u32,
}

type Create = unsafe extern "C" fn(&Guid, &Guid, &mut Object) -> i32;
type Compile =
    unsafe extern "C" fn(Object, &Text, *const *const u32, u32, *const c_void, &Guid, &mut Object) -> i32;

/// `libdxcompiler.so` (not the Windows library: strings are of 32-bit characters
/// and each table holds two destructors after `IUnknown`'s three methods).
pub struct Dxc {
    compiler: Object,
    _library: libloading::Library,
}

/// The method after `IUnknown`'s and the destructors.
unsafe fn method(object: Object, index: usize) -> *const c_void {
    *(*object).add(5 + index)
}

/// The bytes of an `IDxcBlob`.
unsafe fn blob(object: Object) -> Vec<u8> {
    if object.is_null() {
        return Vec::new();
    }
    let data: unsafe extern "C" fn(Object) -> *const u8 = std::mem::transmute(method(object, 0));
    let size: unsafe extern "C" fn(Object) -> usize = std::mem::transmute(method(object, 1));
    std::slice::from_raw_parts(data(object), size(object)).to_vec()
}

impl Dxc {
    pub fn open(path: &str) -> Result<Self> {
        // SAFETY: the library is the one that the caller names; its entry point is of this type.
        unsafe {
            let library = libloading::Library::new(path)?;
            let create = *library.get::<Create>(b"DxcCreateInstance")?;
            let mut compiler = null_mut();
            if create(&COMPILER, &COMPILER3, &mut compiler) != 0 || compiler.is_null() {
                return Err(format!("{path} has no IDxcCompiler3").into());
            }
            Ok(Self { compiler, _library: library })
        }
    }

    /// DXIL, or the compiler's messages.
    fn dxil(&self, hlsl: &str, entry: &str) -> Result<Vec<u8>> {
        let arguments = ["-E", entry, "-T", "cs_6_2", "-HV", "2018", "-no-warnings", "-enable-16bit-types"];
        let arguments: Vec<Vec<u32>> =
            arguments.iter().map(|a| a.chars().map(u32::from).chain([0]).collect()).collect();
        let pointers: Vec<*const u32> = arguments.iter().map(|a| a.as_ptr()).collect();
        let text = Text { data: hlsl.as_ptr(), size: hlsl.len(), encoding: UTF8 };
        // SAFETY: methods in the order of dxcapi.h; what is passed outlives the calls.
        // Results are never released: the process is short.
        unsafe {
            let compile: Compile = std::mem::transmute(method(self.compiler, 0));
            let (mut result, mut part, mut status) = (null_mut(), null_mut(), -1);
            let count = pointers.len() as u32;
            let code = compile(
                self.compiler,
                &text,
                pointers.as_ptr(),
                count,
                std::ptr::null(),
                &RESULT,
                &mut result,
            );
            if code != 0 || result.is_null() {
                return Err(format!("the compiler fails: {code:#x}").into());
            }
            let get_status: unsafe extern "C" fn(Object, &mut i32) -> i32 =
                std::mem::transmute(method(result, 0));
            get_status(result, &mut status);
            let which = if status == 0 { 1 } else { 2 }; // the object, or the messages
            let get: unsafe extern "C" fn(Object, &mut Object) -> i32 =
                std::mem::transmute(method(result, which));
            get(result, &mut part);
            let bytes = blob(part);
            if status != 0 {
                return Err(String::from_utf8_lossy(&bytes).into_owned().into());
            }
            Ok(bytes)
        }
    }
}

impl Compiler for Dxc {
    fn head(&self) -> String {
        "DirectX compiler, shader model 6.2: HLSL and DXIL bytes; the least model".into()
    }

    fn skips(&self, _: &Variant) -> Option<&'static str> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        hlsl::supported_capabilities()
    }

    fn compile(&self, _: &str, shader: &Shader) -> Result<Verdict> {
        // As wgpu sets them, and workgroup memory as this library asks.
        let options = hlsl::Options {
            shader_model: hlsl::ShaderModel::V6_2,
            special_constants_binding: Some(hlsl::BindTarget { register: 100, ..Default::default() }),
            zero_initialize_workgroup_memory: false,
            restrict_indexing: true,
            force_loop_bounding: true,
            ..Default::default()
        };
        let mut text = String::new();
        let entry = hlsl::PipelineOptions { entry_point: None };
        let names =
            hlsl::Writer::new(&mut text, &options, &entry).write(&shader.module, &shader.info, None)?;
        let main = names.entry_point_names.first().ok_or("no entry point")?.as_ref();
        let dxil = self.dxil(&text, main.map_err(|e| e.to_string())?)?;
        if !dxil.starts_with(b"DXBC") {
            return Err("what came back is no DXIL".into());
        }
        let wave = text.contains("Wave") || text.contains("uint64_t");
        let model = if wave { "6.0" } else { "5.1" };
        Ok(Verdict { line: format!("{:7} {:6}  {model}", text.len(), dxil.len()), faults: Vec::new() })
    }
}
