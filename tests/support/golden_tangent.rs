//! `tangent.safetensors` of a network case: the derivative of the output along a direction.

use super::diffusers::{array, build, difference, Result, NETWORK};
use super::Outcome;
use std::path::Path;
use undiffuse::engine::evaluate;
use undiffuse::gpu::Gpu;
use undiffuse::graph::passes;
use undiffuse::graph::tangent::{BOTH, TANGENT};
use undiffuse::weights::{Safetensors, Weights};

pub fn run(gpu: &Gpu, case: &Path) -> Result<Outcome> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let file = Safetensors::open(&case.join("tangent.safetensors"))?;
    let (sample, direction) = (array(&io, "sample")?, array(&file, "tangent")?);
    let (output, want) = (array(&io, "output")?, array(&file, "tangent_output")?);
    let (graph, _) = build(case, (sample.shape.h, sample.shape.w))?;
    let both = passes::run(&graph.without_taps().with_tangent("sample", "output")?);
    let mut inputs = Vec::new();
    for key in ["timestep", "class_labels"] {
        if io.names().iter().any(|n| n == key) {
            let mut a = array(&io, key)?;
            if a.n == 1 {
                a.values = a.values.repeat(sample.n);
            }
            inputs.push((key, a.values));
        }
    }
    let mut given = vec![("sample", &sample.values[..]), (TANGENT, &direction.values[..])];
    given.extend(inputs.iter().map(|(key, values)| (*key, &values[..])));
    let got = evaluate(gpu, &both, sample.n, &given, &[BOTH])?.swap_remove(0);
    let c = output.shape.c;
    let part = |from: usize| -> Vec<f32> {
        got.chunks_exact(2 * c).flat_map(|p| p[from..from + c].iter().copied()).collect()
    };
    let worst = difference(&part(0), &output.values)?.max(difference(&part(c), &want.values)?);
    match worst <= NETWORK {
        true => Ok(Outcome::Passed(worst)),
        false => Ok(Outcome::Failed(format!("{worst:.2e} of its scale"))),
    }
}
