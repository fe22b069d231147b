//! The interpreter against whole sampling runs of diffusers on a small network.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use super::super::sampler::{Context, Sampler};
use super::super::SchedulerConfig;
use crate::shape::Shape;

/// Image `n` of a NCHW tensor, as NHWC.
fn image(tensors: &SafeTensors<'_>, name: &str, n: usize) -> Vec<f64> {
    let tensor = tensors.tensor(name).unwrap();
    let [_, c, h, w] = tensor.shape() else { panic!("{name} has no four dimensions") };
    let read = |i: usize| f32::from_le_bytes(tensor.data()[4 * i..4 * i + 4].try_into().unwrap());
    let at = |p: usize, k: usize| f64::from(read((n * c + k) * h * w + p));
    (0..h * w).flat_map(|p| (0..*c).map(move |k| (p, k))).map(|(p, k)| at(p, k)).collect()
}

#[test]
fn stored_runs_of_a_small_network() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/diffusers/tiny/samplers");
    for name in ["ddim", "ddim_eta05", "ddim_v", "ddim_sample", "ddpm_large", "ddpm_small"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let about: Value = serde_json::from_str(&text).unwrap();
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let config = SchedulerConfig::from_json(&about["config"].to_string()).unwrap();
        let sampler = Sampler::from_class_name(about["scheduler"].as_str().unwrap()).unwrap();
        let eta = about["step_kwargs"]["eta"].as_f64();
        let steps = about["steps"].as_u64().unwrap() as usize;
        let context = Context { eta, ..Context::new(&config, Shape::new(16, 16, 3), steps) };
        let program = sampler.program(&context).unwrap();
        for n in 0..2 {
            let mut worst: f64 = 0.0;
            let mut call = 0;
            program
                .interpret(
                    &Default::default(),
                    |_| {
                        call += 1;
                        Ok(image(&tensors, &format!("model_out{:02}", call - 1), n))
                    },
                    |draw, _| match draw {
                        0 => image(&tensors, "x_T", n),
                        k => image(&tensors, &format!("noise{:02}", k - 1), n),
                    },
                    |after| {
                        let want = image(&tensors, &format!("state{:02}", after.step), n);
                        let scale = want.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
                        let got = &after.registers[program.output.0 as usize];
                        let error = got.iter().zip(&want).fold(0.0, |e: f64, (a, b)| e.max((a - b).abs()));
                        assert!(error < 1e-5 * scale, "{name}, {}: {error} of {scale}", after.label);
                        worst = worst.max(error / scale);
                    },
                )
                .unwrap();
            println!("{name} image {n}: {worst:.1e} of scale");
        }
    }
}
