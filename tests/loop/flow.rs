//! Along the flow on the GPU: latents and back, and log-densities, against the interpreter and
//! against the whole Jacobian.

use crate::jobs::pipeline;
use crate::model_folder::Model;
use crate::open;
use serde_json::json;
use undiffuse::diffusion::program::{Inputs, NetCall};
use undiffuse::diffusion::sampler::flow::Flow;
use undiffuse::diffusion::sampler::{Sampler, SolverOptions};
use undiffuse::engine::{evaluate, NetGraph};
use undiffuse::gpu::Gpu;
use undiffuse::graph::tangent::{BOTH, TANGENT};
use undiffuse::graph::{passes, Graph};
use undiffuse::models;
use undiffuse::pipeline::{flow, Class, Outputs, Sample};
use undiffuse::weights::{Deterministic, Json};

const LEN: usize = 8 * 8 * 3;

fn pictures(count: usize) -> Vec<f32> {
    (0..count * LEN).map(|i| (i as f32 * 0.37).sin() * 0.8).collect()
}

/// A network's answers, for one image.
fn answer(gpu: &Gpu, net: &NetGraph, call: &NetCall<'_>) -> Vec<f64> {
    let inputs: Vec<Vec<f32>> = call.inputs.iter().map(|x| x.iter().map(|v| *v as f32).collect()).collect();
    let (time, label) = ([call.time as f32], [call.label.unwrap_or(0.0) as f32]);
    let mut given: Vec<(&str, &[f32])> =
        net.images.iter().map(String::as_str).zip(inputs.iter().map(Vec::as_slice)).collect();
    given.extend(net.time.iter().map(|name| (name.as_str(), &time[..])));
    given.extend(net.label.iter().map(|name| (name.as_str(), &label[..])));
    let out = evaluate(gpu, &net.graph, 1, &given, &[&net.output]).unwrap().swap_remove(0);
    out.into_iter().map(f64::from).collect()
}

#[test]
fn an_image_comes_back_from_its_latent() {
    let gpu = open(false);
    // An untrained network's flow is stiff where little is left of the image: not so far here.
    let mut model = Model::with_classes();
    model.scheduler = Some(json!({ "_class_name": "DDPMScheduler", "beta_end": 0.0003 }));
    let pipeline = pipeline(&gpu, &model);
    let o = Sample { sampler: Sampler::Rk4, steps: Some(12), class: Class::Index(1), ..Sample::default() };
    let images = pictures(2);
    let encoded = |o: &Sample| pipeline.encode(&images, o).unwrap().tensors().unwrap().values;
    let there_and_back = |o: &Sample| {
        let latents = encoded(o);
        let outputs = Outputs { tensors: true, ..Outputs::default() };
        let mut job = pipeline.decode(&latents, &Sample { outputs, ..o.clone() }).unwrap();
        assert_eq!(job.images().unwrap().len(), 2);
        let again = job.tensors().unwrap().values;
        let far = again.iter().zip(&images).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        (latents, far)
    };
    let errors = [12, 24].map(|steps| there_and_back(&Sample { steps: Some(steps), ..o.clone() }));
    assert!(errors[1].1 < 0.2 * errors[0].1, "{} and {}", errors[0].1, errors[1].1);
    let solver = SolverOptions { rtol: Some(1e-5), atol: Some(1e-5), ..Default::default() };
    let (latents, far) = there_and_back(&Sample { sampler: Sampler::Rk45, steps: None, solver, ..o.clone() });
    assert!(far < 0.02, "{far}");
    assert!(latents.iter().zip(&images).any(|(a, b)| (a - b).abs() > 0.1), "the latent is another array");
    assert!(
        encoded(&Sample { batch: Some(1), ..o.clone() }) == errors[0].0,
        "a latent depends on its image alone"
    );
    assert!(encoded(&Sample { class: Class::Index(0), ..o }) != errors[0].0);
}

#[test]
fn densities_are_the_interpreters() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let o = Sample { sampler: Sampler::Rk4, steps: Some(2), seed: 7, first_index: 5, ..Sample::default() };
    let (images, probes) = (pictures(2), 3);
    let all = pipeline.likelihood(&images, probes, &o).unwrap().finish().unwrap();
    assert!(
        pipeline
            .likelihood(&images, probes, &Sample { batch: Some(4), ..o.clone() })
            .unwrap()
            .finish()
            .unwrap()
            == all
    );
    let model = pipeline.model();
    let net = model.with_tangent().unwrap();
    // The empty class is the fourth.
    let program = model.flow_program(Flow::Likelihood, &Sample { class: Class::None, ..o.clone() }).unwrap();
    let reg = |name: &str| program.find_register(name).unwrap();
    for (i, density) in all.iter().enumerate() {
        let x: Vec<f64> = images[i * LEN..][..LEN].iter().map(|v| f64::from(*v)).collect();
        let nats: Vec<f64> = (0..probes)
            .map(|k| {
                let v = flow::probe(7, 5 + i as u64, k, LEN).iter().map(|v| f64::from(*v)).collect();
                let inputs = Inputs {
                    registers: vec![(reg("x"), x.clone()), (reg("probe"), v)],
                    slots: vec![(program.find_slot("class").unwrap(), 3.0)],
                };
                let call = |call: NetCall<'_>| Ok(answer(&gpu, &net, &call));
                program.interpret(&inputs, call, |_, _| unreachable!(), |_| ()).unwrap()[0]
            })
            .collect();
        let mean = nats.iter().sum::<f64>() / probes as f64;
        assert!((mean - density.nats).abs() < 2e-5 * mean.abs().max(100.0), "{mean} and {density:?}");
        let variance = nats.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (probes - 1) as f64;
        let error = (variance / probes as f64).sqrt();
        assert!((error - density.error).abs() < 0.02 * error + 1e-2, "{error} and {density:?}");
        assert_eq!(density.dimensions, LEN);
        let bits = 7.0 - density.nats / (LEN as f64 * 2f64.ln());
        assert!((bits - density.bits_per_dimension()).abs() < 1e-12);
    }
}

/// The divergence: the trace of the Jacobian, by its columns along the axes, against central
/// differences of the network on the host, and against Hutchinson's estimate.
#[test]
fn the_divergence_is_the_jacobians_trace() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::tiny());
    let (plain, both) = (pipeline.model().network(), pipeline.model().with_tangent().unwrap());
    let x = pictures(1);
    let time = vec![300.0; LEN];
    let of = |x: &[f32], v: Option<&[f32]>| -> Vec<f32> {
        let net = if v.is_some() { &both } else { plain };
        let mut given = vec![(net.images[0].as_str(), x), ("timestep", &time[..])];
        given.extend(v.map(|v| (TANGENT, v)));
        evaluate(&gpu, &net.graph, LEN, &given, &[&net.output]).unwrap().swap_remove(0)
    };
    let axes = |size: f32| -> Vec<f32> {
        (0..LEN * LEN).map(|i| if i / LEN == i % LEN { size } else { 0.0 }).collect()
    };
    let many = x.repeat(LEN);
    // Of the image i (a column), channels 3 .. 6 of each pixel are the derivative.
    let out = of(&many, Some(&axes(1.0)));
    let column = |i: usize, j: usize| f64::from(out[i * 2 * LEN + j / 3 * 6 + 3 + j % 3]);
    let exact: f64 = (0..LEN).map(|i| column(i, i)).sum();
    let h = 0.02;
    let moved = |sign: f32| -> Vec<f32> {
        of(&many.iter().zip(axes(sign * h)).map(|(a, b)| a + b).collect::<Vec<_>>(), None)
    };
    let (up, down) = (moved(1.0), moved(-1.0));
    let slope = |i: usize, j: usize| f64::from(up[i * LEN + j] - down[i * LEN + j]) / f64::from(2.0 * h);
    let scale = (0..LEN)
        .flat_map(|i| (0..LEN).map(move |j| (i, j)))
        .map(|(i, j)| slope(i, j).abs())
        .fold(0.0, f64::max);
    for (i, j) in (0..LEN).flat_map(|i| (0..LEN).map(move |j| (i, j))) {
        assert!(
            (slope(i, j) - column(i, j)).abs() < 4e-3 * scale,
            "d out[{j}] / d x[{i}]: {} and {}",
            slope(i, j),
            column(i, j)
        );
    }
    let host: f64 = (0..LEN).map(|i| slope(i, i)).sum();
    assert!((host - exact).abs() < 2e-3 * scale * (LEN as f64).sqrt(), "{host} and {exact}");
    let probes: Vec<f32> = (0..LEN).flat_map(|k| flow::probe(1, 0, k, LEN)).collect();
    let out = of(&many, Some(&probes));
    let estimates: Vec<f64> = (0..LEN)
        .map(|k| {
            (0..LEN).map(|j| f64::from(probes[k * LEN + j] * out[k * 2 * LEN + j / 3 * 6 + 3 + j % 3])).sum()
        })
        .collect();
    let mean = estimates.iter().sum::<f64>() / LEN as f64;
    let error = (estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (LEN * (LEN - 1)) as f64).sqrt();
    assert!(error > 0.0 && (mean - exact).abs() < 4.0 * error, "{mean} +- {error}, exactly {exact}");
}

/// score_sde's networks, with either resampling and either embedding, along a direction.
#[test]
fn derivatives_of_score_networks_are_central_differences() {
    let gpu = open(false);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/score_sde/ve_ncsnpp/config.json");
    let config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut changed = config.clone();
    let own = |key: &str| config["model"][key].clone();
    changed["model"]["fir"] = json!(own("fir") != json!(true));
    changed["model"]["embedding_type"] =
        json!(if own("embedding_type") == "fourier" { "positional" } else { "fourier" });
    changed["model"]["scale_by_sigma"] = json!(own("scale_by_sigma") != json!(true));
    let mut ddpm = config.clone();
    ddpm["model"]["resblock_type"] = json!("ddpm");
    ddpm["model"]["fir"] = json!(true);
    ddpm["model"]["resamp_with_conv"] = json!(false);
    for config in [config, changed, ddpm] {
        let model = models::open(&Json::new("config.json", config.to_string()), None).unwrap();
        let mut graph = Graph::new();
        model.build(&Deterministic, &mut graph).unwrap();
        let graph = graph.without_taps();
        let shape = model.describe().sample;
        let both = passes::run(&graph.with_tangent("sample", "output").unwrap());
        let plain = passes::run(&graph);
        let x: Vec<f32> = (0..shape.len()).map(|i| (i as f32 * 0.71).sin()).collect();
        let v: Vec<f32> = (0..shape.len()).map(|i| (i as f32 * 1.13).cos()).collect();
        let of = |h: f32| {
            let moved: Vec<f32> = x.iter().zip(&v).map(|(x, v)| x + h * v).collect();
            evaluate(&gpu, &plain, 1, &[("sample", &moved), ("timestep", &[0.7])], &["output"])
                .unwrap()
                .swap_remove(0)
        };
        let given = [("sample", &x[..]), (TANGENT, &v[..]), ("timestep", &[0.7f32][..])];
        let out = evaluate(&gpu, &both, 1, &given, &[BOTH]).unwrap().swap_remove(0);
        let (up, down) = (of(0.01), of(-0.01));
        let c = shape.c;
        let slope: Vec<f32> = out.chunks_exact(2 * c).flat_map(|p| p[c..].to_vec()).collect();
        let scale = slope.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(scale > 1e-3, "{scale}");
        for (i, s) in slope.iter().enumerate() {
            let difference = (up[i] - down[i]) / 0.02;
            assert!((s - difference).abs() < 5e-3 * scale, "{config}: {i}: {s} and {difference} of {scale}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::tiny());
    let o = Sample { sampler: Sampler::Rk45, ..Sample::default() };
    let refused = |r: Result<(), undiffuse::pipeline::PipelineError>| r.expect_err("refused").to_string();
    assert!(refused(pipeline.encode(&[0.0; 7], &o).map(|_| ())).contains("7 numbers are no images"));
    assert!(refused(pipeline.decode(&[], &o).map(|_| ())).contains("0 numbers"));
    let images = pictures(1);
    assert!(refused(pipeline.likelihood(&images, 0, &o).map(|_| ())).contains("probes"));
    let ddim = Sample { sampler: Sampler::Ddim, ..o.clone() };
    assert!(refused(pipeline.encode(&images, &ddim).map(|_| ())).contains("rk45 or rk4"));
    let steps = Sample { steps: Some(3), ..o };
    assert!(refused(pipeline.encode(&images, &steps).map(|_| ())).contains("--rtol"));
}
