//! Every shader variant through a compiler that a user's driver has, without the
//! driver's hardware: `compilers dx LIBDXCOMPILER.so` or `compilers amd CHIP`.
//! An optional last argument keeps to kernels whose name/variant contains it;
//! with `UNDIFFUSE_ISA` set, `amd` also prints the machine code.
//! `tools/compilers.sh` finds the compilers and runs both.

mod amd;
mod dx;
mod isa;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use std::error::Error;
use undiffuse::kernels::reflect::{reflect, Reflection};
use undiffuse::kernels::{Variant, ALL};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A variant, parsed and checked.
struct Shader {
    reflection: Reflection,
    module: naga::Module,
    info: ModuleInfo,
}

/// What a compiler says of a variant: a line of the table, and what is wrong.
struct Verdict {
    line: String,
    faults: Vec<String>,
}

trait Compiler {
    /// The compiler's name and the heads of its columns.
    fn head(&self) -> String;
    /// Why the variant is not for this compiler.
    fn skips(&self, variant: &Variant) -> Option<&'static str>;
    /// What naga's writer for it can write.
    fn capabilities(&self) -> Capabilities;
    /// Compiles; an error is a refusal.
    fn compile(&self, kernel: &str, shader: &Shader) -> Result<Verdict>;
}

fn load(kernel: &undiffuse::kernels::Kernel, variant: &Variant, caps: Capabilities) -> Result<Shader> {
    let reflection = reflect(kernel, variant)?;
    let module =
        naga::front::wgsl::parse_str(&reflection.text).map_err(|e| e.emit_to_string(&reflection.text))?;
    let info = Validator::new(ValidationFlags::all(), caps)
        .validate(&module)
        .map_err(|e| e.emit_to_string(&reflection.text))?;
    Ok(Shader { reflection, module, info })
}

fn run() -> Result<bool> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (compiler, filter): (Box<dyn Compiler>, _) = match args.as_slice() {
        [kind, library, rest @ ..] if kind == "dx" => (Box::new(dx::Dxc::open(library)?), rest.first()),
        [kind, chip, rest @ ..] if kind == "amd" => (Box::new(amd::Radv::open(chip)?), rest.first()),
        _ => return Err("usage: compilers dx LIBDXCOMPILER.so [NAME] | compilers amd CHIP [NAME]".into()),
    };
    println!("{:34} {}", "kernel/variant", compiler.head());
    let (mut compiled, mut skipped, mut faults) = (0, 0, Vec::new());
    for kernel in ALL {
        for variant in kernel.variants {
            let name = format!("{}/{}", kernel.name, variant.name);
            if filter.is_some_and(|f| !name.contains(f.as_str())) {
                continue;
            }
            if let Some(why) = compiler.skips(variant) {
                skipped += 1;
                println!("{name:34} - {why}");
                continue;
            }
            let made = load(kernel, variant, compiler.capabilities())
                .and_then(|shader| compiler.compile(kernel.name, &shader));
            compiled += 1;
            match made {
                Ok(verdict) => {
                    println!("{name:34} {}", verdict.line);
                    faults.extend(verdict.faults.into_iter().map(|f| format!("{name}: {f}")));
                }
                Err(e) => {
                    println!("{name:34} REFUSED");
                    faults.push(format!("{name}: {e}"));
                }
            }
        }
    }
    println!("{compiled} compiled, {skipped} not for this compiler, {} faults", faults.len());
    for fault in &faults {
        println!("FAULT {fault}");
    }
    Ok(faults.is_empty() && compiled > 0)
}

fn main() {
    let code = match run() {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(e) => {
            eprintln!("{e}");
            2
        }
    };
    // The drivers' own teardown is left alone: some of it crashes.
    std::process::exit(code)
}
