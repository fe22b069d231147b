//! Data in the plane whose scores are known: samplers on the GPU against the data themselves.

#[path = "support/command.rs"]
mod command;

use command::{arg, good, names, run};
use serde_json::Value;
use undiffuse::diffusion::program::{Inputs, NetCall};
use undiffuse::diffusion::Sampler;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::kernels::mixture::Form;
use undiffuse::pipeline::{Model, Outputs, Pipeline, Sample, Toy};
use undiffuse::shape::Shape;

const FLOATS: Outputs = Outputs { images: false, tensors: true, textures: false };

fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    values.clone().sum::<f64>() / values.count() as f64
}

/// The deviation that a sampler's chain gives to one Gaussian of deviation 0.03, exactly: its program
/// is linear there, so each noise's part in the end is what an impulse in it becomes.
fn width_of_chain(model: &Model, form: Form, options: &Sample) -> f64 {
    let net = |call: NetCall<'_>| {
        let (a, s) = form.factors(call.time);
        let v = (0.03 * a).powi(2) + s * s;
        let by = match form {
            Form::Ve => -1.0 / v,
            Form::Edm { data } => {
                let scale = s.hypot(data);
                s * scale / (data * v) * (0.03f64.powi(2) - data * data) / (scale * scale)
            }
            _ => s / v,
        };
        // Of EDM the input is scaled already, and `by` is of the state.
        let scale = if let Form::Edm { data } = form { s.hypot(data) } else { 1.0 };
        Ok(call.inputs[0].iter().map(|x| by * scale * x).collect())
    };
    let impulse = |draw: u32, shape: Shape| {
        let mut noise = vec![0.0; shape.len()];
        noise[draw as usize] = 1.0;
        noise
    };
    let program = model.program(options).unwrap();
    let parts = program.interpret(&Inputs::default(), net, impulse, |_| ()).unwrap();
    parts.iter().map(|p| p * p).sum::<f64>().sqrt()
}

/// Mode weights, moments and the width of the modes of 25 Gaussians, each within 4.5 standard errors
/// of the data's own (the width: of what the sampler's own chain makes of it), for solvers of the
/// flow, of the reverse SDE and of the chain.
#[test]
fn samplers_draw_the_25_gaussians() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let vp = Form::Vp { beta_min: 0.1, beta_max: 20.0 };
    let sub = Form::SubVp { beta_min: 0.1, beta_max: 20.0 };
    for (end, form, sampler, steps) in [
        ("", vp, Sampler::Rk45, None),
        ("", vp, Sampler::Dpmpp2m, Some(200)),
        ("", vp, Sampler::Ddpm, Some(400)),
        ("", vp, Sampler::EulerMaruyama, Some(400)),
        ("-sub-vp", sub, Sampler::Rk45, None),
        ("-ve", Form::Ve, Sampler::Rk45, None),
        ("-ve", Form::Ve, Sampler::Ancestral, Some(400)),
        ("-edm", Form::Edm { data: 0.5 }, Sampler::EdmDpm, Some(40)),
    ] {
        let what = format!("{end} {}", sampler.name());
        let pipeline =
            Pipeline::new(&gpu, Model::toy(&format!("25-gaussians{end}")).unwrap(), |_, _| {}).unwrap();
        let options = Sample { count: 2, sampler, steps, seed: 11, outputs: FLOATS, ..Sample::default() };
        let points = pipeline.sample(&options).unwrap().tensors().unwrap().values;
        let n = (points.len() / 2) as f64;
        let mut hits = [0u32; 25];
        let mut inside = Vec::new();
        for p in points.chunks_exact(2) {
            let near = [0, 1].map(|d| (p[d] * 2.0).round().clamp(-2.0, 2.0) / 2.0);
            hits[((near[0] + 1.0) * 2.0) as usize * 5 + ((near[1] + 1.0) * 2.0) as usize] += 1;
            inside.extend([0, 1].map(|d| f64::from(p[d] - near[d])));
        }
        // 24 degrees of freedom: 62 is passed once in 30 000.
        let expected = n / 25.0;
        let chi2: f64 = hits.iter().map(|h| (f64::from(*h) - expected).powi(2) / expected).sum();
        assert!(chi2 < 62.0, "{what}: chi2 {chi2} of {hits:?}");
        let chain = match steps {
            Some(_) => width_of_chain(pipeline.model(), form, &options),
            None => 0.03,
        };
        let width = mean(inside.iter().map(|d| d * d)).sqrt();
        // The relative standard error of a deviation of 2 n numbers, and what rtol and atol leave.
        let bound = 4.5 / (4.0 * n).sqrt() + if steps.is_none() { 0.01 } else { 0.0 };
        assert!((width / chain - 1.0).abs() < bound, "{what}: width {width}, the chain's is {chain}");
        assert!(mean(inside.iter().copied()).abs() < 4.5 * chain / (2.0 * n).sqrt(), "{what}");
        for d in 0..2 {
            let axis = points.chunks_exact(2).map(|p| f64::from(p[d]));
            assert!(mean(axis.clone()).abs() < 4.5 * (0.5 / n).sqrt(), "{what}: mean {d}");
            // Of five levels the variance is 0.5, the fourth moment 0.425.
            let second = mean(axis.map(|x| x * x));
            let bound = 4.5 * ((0.425 - 0.25) / n).sqrt();
            assert!((second - 0.5 - chain * chain).abs() < bound, "{what}: {second}");
        }
    }
}

/// Every sampler that takes the model ends on the data.
#[test]
fn every_sampler_ends_on_the_roll() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let (mut went, mut refused, mut astray) = (0, 0, Vec::new());
    for end in ["", "-sub-vp", "-ve", "-edm"] {
        let model = Model::toy(&format!("swiss-roll{end}")).unwrap();
        let toy = model.as_toy().unwrap();
        let pipeline = Pipeline::new(&gpu, model, |_, _| {}).unwrap();
        for sampler in Sampler::all().filter(|s| !s.of_one_system() && !s.only_restores()) {
            let steps = match sampler {
                s if s.is_adaptive() => None,
                Sampler::Lcm => Some(4),
                s if s.is_continuous() => Some(if s == Sampler::Rk4 { 40 } else { 150 }),
                _ => Some(60),
            };
            let options = Sample { sampler, steps, seed: 5, outputs: FLOATS, ..Sample::default() };
            let mut job = match pipeline.sample(&options) {
                Ok(job) => job,
                // Those of chains, of EDM alone, and of what sub-VP and EDM have not.
                Err(e) => {
                    refused += 1;
                    assert!(e.to_string().contains("choose"), "{end} {sampler:?}: {e}");
                    continue;
                }
            };
            went += 1;
            let grade = toy.grade(&job.tensors().unwrap().values);
            let well = match sampler {
                // It goes to noise.
                Sampler::DdimInverse => grade.near < 0.5,
                // For models that were distilled to jump: it jumps to the mean.
                Sampler::Lcm => grade.near > 0.2,
                // Steps of one length from 80 down to 0.002: the last is longer than the data are wide.
                Sampler::Rk4 | Sampler::FlowHeun if end == "-edm" => grade.near < 0.95,
                _ => grade.near > 0.94 && grade.hit > 180,
            };
            if !well {
                astray.push(format!("{end} {}: {grade:?}", sampler.name()));
            }
        }
    }
    assert!(astray.is_empty(), "{astray:#?}");
    assert_eq!(
        (went, refused),
        (56, 64),
        "those of chains, of EDM alone, and of what sub-VP and EDM have not"
    );
}

#[test]
fn points_know_nothing_of_their_batch() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let pipeline = Pipeline::new(&gpu, Model::toy("checkerboard").unwrap(), |_, _| {}).unwrap();
    let draw = |batch, sampler| {
        let options = Sample { count: 3, batch: Some(batch), sampler, outputs: FLOATS, ..Sample::default() };
        pipeline.sample(&options).unwrap().tensors().unwrap().values
    };
    for sampler in [Sampler::Ddim, Sampler::Rk45] {
        assert!(draw(1, sampler) == draw(3, sampler), "{}", sampler.name());
    }
}

#[test]
fn points_come_as_plots_and_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let base = ["sample", "--model", "toy/25-gaussians", "--steps", "25", "--sampler", "dpmpp_2m"];
    for name in ["a.png", "a.svg", "a.csv", "a.npz"] {
        good(&[&base[..], &["--out", arg(&at(name))]].concat());
    }
    let svg = std::fs::read_to_string(at("a.svg")).unwrap();
    assert!(svg.matches("<circle").count() == 1024 && svg.contains("25 evaluations"), "{}", svg.len());
    let csv = std::fs::read_to_string(at("a.csv")).unwrap();
    let numbers: Vec<f32> =
        csv.lines().skip(1).flat_map(|l| l.split(',').skip(1)).map(|v| v.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 2048);
    let mut npz = zip::ZipArchive::new(std::fs::File::open(at("a.npz")).unwrap()).unwrap();
    let npz = npyz::NpyFile::new(npz.by_name("images.npy").unwrap()).unwrap();
    assert_eq!(npz.shape(), [1, 32, 32, 2]);
    assert_eq!(npz.into_vec::<f32>().unwrap(), numbers, "text and binary hold the same points");
    let picture = image::open(at("a.png")).unwrap().to_rgb8();
    assert!(picture.pixels().filter(|p| p.0 == [0, 114, 178]).count() > 800);
    let (text, flow, film) = (at("b.csv"), at("flow.svg"), at("film.png"));
    let more = ["--out", arg(&text), "--flow", arg(&flow), "--animate", arg(&film), "--json"];
    let ran = good(&[&base[..], &more].concat());
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["points"], 1024);
    assert_eq!(json["grade"]["hit"], 25);
    assert_eq!(json["files"].as_array().unwrap().len(), 3);
    let flow = std::fs::read_to_string(&flow).unwrap();
    assert!(flow.contains("the end") && flow.matches("<polyline").count() > 160);
    let film = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&film).unwrap()));
    let frames = film.read_info().unwrap().info().animation_control().unwrap().num_frames;
    assert_eq!(frames, 25);
    assert_eq!(names(dir.path()), ["a.csv", "a.npz", "a.png", "a.svg", "b.csv", "film.png", "flow.svg"]);
}

#[test]
fn what_points_have_not_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.png");
    let base = ["sample", "--model", "toy/swiss-roll", "--out", arg(&out)];
    let with = |more: &[&str]| run(&[&base[..], more].concat());
    with(&["--zoom", "2"]).refused(&["--zoom", "points"]);
    with(&["--preview-every", "2"]).refused(&["--preview-every", "points"]);
    let flow = dir.path().join("f.png");
    with(&["--sampler", "rk45", "--flow", arg(&flow)]).refused(&["rk45", "--flow", "rk4"]);
    with(&["--flow", arg(&dir.path().join("f.gif"))]).refused(&["--flow", ".png, .svg"]);
    with(&["--sampler", "edm_euler"]).refused(&["edm_euler", "EDM"]);
    run(&["sample", "--model", "toy/swiss-roll-edm", "--sampler", "ddim", "--out", arg(&out)])
        .refused(&["ddim", "edm_euler"]);
    run(&["sample", "--model", "toy/swiss-roll", "--out", "folder"]).refused(&["folder", ".npz"]);
    run(&["sample", "--model", "toy/swiss"]).refused(&["toy/swiss", "toy/swiss-roll", "-sub-vp"]);
    run(&["sample", "--model", "emoji32", "--flow", "f.png", "--out", arg(&out)])
        .refused(&["--flow", "emoji32"]);
    run(&["forward", "--out", arg(&out)]).refused(&["picture", "toy/NAME"]);
    run(&["forward", "x.png", "--model", "toy/swiss-roll", "--out", arg(&out)]).refused(&["points"]);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn other_verbs_know_points() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.png");
    let listed = good(&["info"]).stdout;
    assert!(listed.contains("toy/checkerboard") && listed.contains("toy/swiss-roll"));
    for end in ["", "-ve", "-edm"] {
        let model = format!("toy/25-gaussians{end}");
        let ran = good(&["forward", "--model", &model, "--steps", "3", "--json", "--out", arg(&out)]);
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["times"].as_array().unwrap().len(), 4);
    }
    let compare = |model: &str, samplers: &str, steps: &str, converged: &str| {
        let args = ["compare", "--model", model, "--samplers", samplers, "--steps", steps, "--count", "1"];
        good(&[&args[..], &["--converged", converged, "--json", "--out", arg(&out)]].concat())
    };
    let json: Value =
        serde_json::from_str(&compare("toy/swiss-roll", "ddim,dpmpp_2m", "8,32", "200").stdout).unwrap();
    let far = |i: usize| json["points"][i]["distance"].as_f64().unwrap();
    assert!(far(1) < far(0) && far(3) < far(2) && far(3) < far(1), "{json}");
    let ran = compare("toy/swiss-roll-ve", "rk4,ddim", "20", "60");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["converged"]["sampler"], "rk4");
    assert!(ran.stderr.contains("note: ddim 20"), "{}", ran.stderr);
    good(&["inspect", "toy/checkerboard", "--for", "navi21"]);
    good(&["explain", "rk4", "--model", "toy/swiss-roll", "--steps", "2"]);
}

/// The log of the density of the data with noise of deviation `s`, summed over the points.
fn log_density(means: &[[f64; 2]], std: f64, s: f64, points: &[f32]) -> f64 {
    let v = std * std + s * s;
    let one = |p: &[f32]| {
        let far = |m: &[f64; 2]| (f64::from(p[0]) - m[0]).powi(2) + (f64::from(p[1]) - m[1]).powi(2);
        let sum: f64 = means.iter().map(|m| (-far(m) / (2.0 * v)).exp()).sum();
        (sum / means.len() as f64 / (std::f64::consts::TAU * v)).ln()
    };
    points.chunks_exact(2).map(one).sum()
}

/// Likelihood on the GPU: of one Gaussian to 1e-3 bits a dimension with a single probe, of a spiral
/// within the standard error that it states.
#[test]
fn log_densities_are_the_datas() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let options = Sample { sampler: Sampler::Rk45, ..Sample::default() };
    // The deviation of the noise where the flow begins.
    for (end, noise) in [("", 0.001), ("-ve", 0.01)] {
        let (toy, _) = Toy::find(&format!("swiss-roll{end}")).unwrap();
        let model = Model::toy(&format!("swiss-roll{end}")).unwrap();
        let pipeline = Pipeline::new(&gpu, model, |_, _| {}).unwrap();
        let mut points = toy.draw(3, 1024);
        // What the flow begins with is the data and a little noise.
        let mut more = vec![0.0; points.len()];
        undiffuse::kernels::noise::fill(4, 0, 0, &mut more);
        points.iter_mut().zip(more).for_each(|(p, z)| *p += noise as f32 * z);
        let exact = log_density(&toy.means(), toy.std, noise, &points);
        let density = pipeline.likelihood(&points, 4, &options).unwrap().finish().unwrap()[0];
        let bits = |nats: f64| nats / (2048.0 * std::f64::consts::LN_2);
        let (error, stated) = (bits(density.nats - exact), bits(density.error));
        assert!(stated > 0.0 && stated < 0.03, "{end}: {stated}");
        assert!(error.abs() < 1e-3 + 4.0 * stated, "{end}: {error} +- {stated} bits a dimension");
    }
    let dir = tempfile::tempdir().unwrap();
    for (sde, noise) in [("vesde", 0.01), ("vpsde", 0.001), ("subvpsde", 1e-6)] {
        let config = serde_json::json!({ "_class_name": "GaussianMixture", "components": 1, "std": 0.3,
            "points": [16, 32], "training": { "sde": sde },
            "model": { "sigma_min": 0.01, "sigma_max": 50.0, "num_scales": 1000 } });
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let mean = [0.25f32, -0.5, 0.0].map(f32::to_le_bytes).concat();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 3], &mean).unwrap();
        let file = safetensors::serialize([("components", view)], None).unwrap();
        std::fs::write(dir.path().join("diffusion_pytorch_model.safetensors"), file).unwrap();
        let pipeline = Pipeline::open(&gpu, dir.path()).unwrap();
        let mut points = vec![0.0; 1024];
        undiffuse::kernels::noise::fill(5, 0, 0, &mut points);
        points.iter_mut().enumerate().for_each(|(i, p)| *p = 0.3 * *p + [0.25, -0.5][i % 2]);
        let exact = log_density(&[[0.25, -0.5]], 0.3, noise, &points);
        let density = pipeline.likelihood(&points, 1, &options).unwrap().finish().unwrap()[0];
        let error = (density.nats - exact) / (1024.0 * std::f64::consts::LN_2);
        assert!(error.abs() < 1e-3, "{sde}: {error} bits a dimension");
    }
}
