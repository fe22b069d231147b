//! Every variant of every kernel, without a GPU: translated to each target that has
//! its features, and held to the conventions. The table variant x target is pinned
//! in `tests/data/shader_targets.txt`; `UNDIFFUSE_BLESS=1` rewrites it.

use naga::back::{glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::collections::BTreeSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use undiffuse::kernels::reflect::reflect;
use undiffuse::kernels::{Kernel, Variant, ALL};

fn each(mut f: impl FnMut(&Kernel, &Variant)) {
    for kernel in ALL {
        for variant in kernel.variants {
            f(kernel, variant);
        }
    }
}

fn to_spv(m: &naga::Module, i: &ModuleInfo) -> Result<usize, String> {
    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    spv::write_vec(m, i, &options, None).map(|w| w.len()).map_err(|e| e.to_string())
}

fn to_msl(m: &naga::Module, i: &ModuleInfo) -> Result<usize, String> {
    let options = msl::Options { lang_version: (2, 4), ..Default::default() };
    let (text, info) = msl::write_string(m, i, &options, &Default::default()).map_err(|e| e.to_string())?;
    for entry in info.entry_point_names {
        entry.map_err(|e| e.to_string())?;
    }
    Ok(text.len())
}

fn to_hlsl(m: &naga::Module, i: &ModuleInfo) -> Result<usize, String> {
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..Default::default() };
    let entry = hlsl::PipelineOptions { entry_point: None };
    let mut text = String::new();
    let info = hlsl::Writer::new(&mut text, &options, &entry).write(m, i, None).map_err(|e| e.to_string())?;
    for entry in info.entry_point_names {
        entry.map_err(|e| e.to_string())?;
    }
    Ok(text.len())
}

fn to_glsl(m: &naga::Module, i: &ModuleInfo) -> Result<usize, String> {
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let entry = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
        multiview: None,
    };
    let mut text = String::new();
    let policies = Default::default();
    let mut writer =
        glsl::Writer::new(&mut text, m, i, &options, &entry, policies).map_err(|e| e.to_string())?;
    writer.write().map_err(|e| e.to_string())?;
    Ok(text.len())
}

type Writer = fn(&naga::Module, &ModuleInfo) -> Result<usize, String>;

/// "yes", "-" where the target lacks a feature, else what went wrong.
fn translate(text: &str, caps: Capabilities, writer: Writer) -> String {
    let Ok(module) = naga::front::wgsl::parse_str(text) else { return "does not parse".into() };
    let Ok(info) = Validator::new(ValidationFlags::all(), caps).validate(&module) else { return "-".into() };
    match catch_unwind(AssertUnwindSafe(|| writer(&module, &info))) {
        Ok(Ok(length)) if length > 0 => "yes".into(),
        Ok(Ok(_)) => "empty".into(),
        Ok(Err(e)) => e,
        Err(_) => "naga panics".into(),
    }
}

#[test]
fn every_variant_translates() {
    // Core WebGPU: what no feature is needed for.
    let core = Capabilities::default() | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    // naga's GLSL writer refuses 64-bit integers, its capabilities do not say so.
    let targets: [(&str, Capabilities, Writer); 5] = [
        ("core", core, |_, _| Ok(1)),
        ("spv", spv::supported_capabilities(), to_spv),
        ("msl", msl::supported_capabilities(), to_msl),
        ("hlsl", hlsl::supported_capabilities(), to_hlsl),
        ("glsl", glsl::supported_capabilities() - Capabilities::SHADER_INT64, to_glsl),
    ];
    let mut table = format!("{:44}", "kernel/variant");
    targets.iter().for_each(|t| table.push_str(&format!(" {:5}", t.0)));
    let mut broken = Vec::new();
    each(|kernel, variant| {
        let name = format!("{}/{}", kernel.name, variant.name);
        let text = reflect(kernel, variant).map(|r| r.text).unwrap_or_else(|e| panic!("{e}"));
        table = format!("{}\n{name:44}", table.trim_end());
        for (target, caps, writer) in targets {
            let result = translate(&text, caps, writer);
            if result != "yes" && result != "-" {
                broken.push(format!("{name} to {target}: {result}"));
            }
            if variant.needs == undiffuse::kernels::Needs::NONE && result == "-" {
                broken.push(format!("{name} needs nothing, but {target} lacks something"));
            }
            table.push_str(&format!(" {:5}", if result.len() > 3 { "NO" } else { &result }));
        }
    });
    let table = format!("{}\n", table.trim_end());
    println!("{table}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/shader_targets.txt");
    if std::env::var_os("UNDIFFUSE_BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).unwrap();
        std::fs::write(path, &table).unwrap();
    }
    let pinned = std::fs::read_to_string(path).unwrap_or_default();
    assert!(pinned == table, "shader_targets.txt differs: look, then run with UNDIFFUSE_BLESS=1");
}

/// Core limits, bindings, names: what every kernel keeps to.
#[test]
fn conventions_hold() {
    let mut names = BTreeSet::new();
    each(|kernel, variant| {
        let name = format!("{}/{}", kernel.name, variant.name);
        assert!(names.insert(name.clone()), "{name} twice");
        let r = reflect(kernel, variant).unwrap_or_else(|e| panic!("{e}"));
        assert!(r.workgroup.iter().product::<u32>() <= 256, "{name}: {:?}", r.workgroup);
        assert!(r.workgroup_bytes <= 16 << 10, "{name}: {} bytes of workgroup memory", r.workgroup_bytes);
        assert!(r.storage.len() <= 8, "{name}: {} storage buffers", r.storage.len());
        assert!(r.storage.iter().any(|b| b.writable), "{name} writes nothing");
        let last = r.storage.iter().map(|b| b.index).max();
        assert!(last < Some(r.uniform), "{name}: the parameters are the last binding");
        assert!(r.text.matches("group_index(").count() >= 2, "{name}: not cut nor folded");
    });
    for kernel in ALL {
        let file =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("shaders/{}.wgsl", kernel.name));
        assert!(file.exists(), "no {}", file.display());
        assert!(kernel.source.starts_with("// "), "{}: no sentence at the head", kernel.name);
    }
}

/// The check would notice a shader that a target lacks, and one that is wrong.
#[test]
fn translation_notices() {
    let text = "@group(0) @binding(0) var<storage, read_write> x: array<f64>;
        @compute @workgroup_size(1) fn main() { x[0] = x[0] * x[1]; }";
    let core = Capabilities::default();
    assert_eq!(translate(text, core, to_msl), "-");
    assert_eq!(translate(text, core | Capabilities::FLOAT64, to_spv), "yes");
    assert_eq!(translate("fn main() { let a = ; }", core, to_spv), "does not parse");
}
