//! `undiffuse info`: adapters, embedded models, toys and the zoo.

use crate::{text, Failure};
use undiffuse::gpu;
use undiffuse::pipeline::{self, find};

#[derive(clap::Args)]
pub struct Args {
    /// Ask one backend only: vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let found = pollster::block_on(gpu::list(args.backend.as_deref()))?;
    let adapters: Vec<_> = found.iter().enumerate().map(|(i, f)| describe(i, f)).collect();
    let models: Vec<_> = pipeline::EMBEDDED
        .iter()
        .map(|m| serde_json::json!({ "name": m.name, "about": m.about, "bytes": m.weights.len() }))
        .collect();
    let places = find::Places::of_environment();
    let zoo = places.zoo_models();
    if args.json {
        let toy =
            |t: &pipeline::Toy| serde_json::json!({ "name": format!("toy/{}", t.name), "about": t.about });
        let toys: Vec<_> = pipeline::toy::TOYS.iter().map(toy).collect();
        let zoo = serde_json::json!({ "folder": places.zoo, "models": zoo });
        say!(
            stdout,
            "{}",
            serde_json::json!({ "adapters": adapters, "models": models, "toys": toys, "zoo": zoo })
        );
        return Ok(());
    }
    if found.is_empty() {
        say!(stdout, "No adapter answers. Install a graphics driver; on Debian or Ubuntu");
        say!(stdout, "`apt install mesa-vulkan-drivers` gives a software one.");
    }
    for (f, a) in found.iter().zip(&adapters) {
        let mark = if f.default { "*" } else { " " };
        say!(
            stdout,
            "{mark} {}: {} ({:?}, {:?})",
            a["index"],
            f.info.name,
            f.info.backend,
            f.info.device_type
        );
        say!(stdout, "      driver       {} {}", f.info.driver, f.info.driver_info);
        say!(stdout, "      f16          {}", yes(&a["f16"]));
        say!(stdout, "      subgroups    {}", a["subgroups"].as_str().unwrap_or("no"));
        say!(stdout, "      64-bit ints  {}", yes(&a["int64"]));
        say!(stdout, "      kernels      {}", a["family"].as_str().unwrap_or_default());
        for (name, value) in a["limits"].as_object().into_iter().flatten() {
            say!(stdout, "      {name:<38} {value}");
        }
        if f.default {
            say!(stdout, "      the default: {}", f.why);
        }
    }
    say!(stdout, "\nEmbedded models:");
    for m in pipeline::EMBEDDED {
        say!(stdout, "  {:<10} {}", m.name, m.about);
    }
    say!(stdout, "\nToys, points in the plane whose scores are known (each also with -sub-vp, -ve, -edm):");
    for toy in pipeline::toy::TOYS {
        say!(stdout, "  {:<18} {}", format!("toy/{}", toy.name), toy.about);
    }
    if let Some(folder) = &places.zoo {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        say!(stdout, "\nThe zoo, {}:", folder.display());
        if zoo.is_empty() {
            say!(stdout, "  no model is there");
        }
        let width = zoo.iter().map(|m| m.name.len() + 4).max().unwrap_or(0);
        for m in &zoo {
            let parameters = m.parameters.map_or(String::new(), |p| format!("{} parameters", text::count(p)));
            let kind = m.kind.as_deref().unwrap_or("-");
            let about = match &m.not_sampled {
                Some(why) => format!("not sampled: {why}"),
                None => m.about.clone(),
            };
            say!(stdout, "  {:<width$}  {kind:<17} {parameters:>18}  {about}", format!("zoo/{}", m.name));
        }
    }
    Ok(())
}

fn yes(v: &serde_json::Value) -> &'static str {
    if v.as_bool() == Some(true) {
        "yes"
    } else {
        "no"
    }
}

fn describe(index: usize, f: &gpu::Found) -> serde_json::Value {
    let features = f.adapter.features();
    let limits = f.adapter.limits();
    let caps = gpu::caps(&f.info, features);
    let subgroups = features.contains(wgpu::Features::SUBGROUP).then(|| {
        let (min, max) = (f.info.subgroup_min_size, f.info.subgroup_max_size);
        if min == max {
            format!("{min} lanes")
        } else {
            format!("{min} to {max} lanes")
        }
    });
    serde_json::json!({
        "index": index,
        "name": f.info.name,
        "backend": format!("{:?}", f.info.backend),
        "type": format!("{:?}", f.info.device_type),
        "driver": f.info.driver,
        "driver_info": f.info.driver_info,
        "f16": features.contains(wgpu::Features::SHADER_F16),
        "subgroups": subgroups,
        "int64": caps.int64,
        "family": if caps.stream { "stream (a processor)" } else { "tile (a GPU)" },
        "default": f.default,
        "why": f.why,
        "limits": {
            "max_buffer_size": limits.max_buffer_size,
            "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
            "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
            "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
            "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
        },
    })
}
