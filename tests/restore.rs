//! Degraded pictures restored: on the GPU as on the host, and as a user types it.

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;

use command::{arg, good, names, run};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use model_folder::Model as Folder;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use undiffuse::diffusion::linear::{Axes, Convolution, Degradation, Mask, Masked, Restoration};
use undiffuse::diffusion::program::{Inputs, Instruction, Net, Program, Step};
use undiffuse::diffusion::sampler::SolverOptions;
use undiffuse::diffusion::Sampler;
use undiffuse::engine::{Batch, Executable, NetGraph};
use undiffuse::gpu::{Gpu, Options};
use undiffuse::graph::bind::WeightStore;
use undiffuse::graph::Graph;
use undiffuse::pipeline::{Model, Outputs, Pipeline, Sample};
use undiffuse::shape::Shape;

const FLOATS: Outputs = Outputs { images: false, tensors: true, textures: false };

fn all(shape: Shape) -> Vec<Arc<dyn Degradation>> {
    let known: Vec<bool> = (0..shape.pixels()).map(|i| i % 3 != 0).collect();
    let half = Shape::new(shape.h / 2, shape.w / 2, shape.c);
    vec![
        Arc::new(Mask::new(shape, &known).unwrap()),
        Arc::new(Axes::average(shape, 4).unwrap()),
        Arc::new(Axes::bicubic(shape, 2).unwrap()),
        Arc::new(Axes::grey(shape).unwrap()),
        Arc::new(Axes::gaussian_blur(shape, 0.8).unwrap()),
        Arc::new(Convolution::new(shape, (2, 3), &[3.0, 1.0, 0.0, 2.0, 4.0, 1.5]).unwrap()),
        Arc::new(Axes::average(shape, 2).unwrap().then(Axes::grey(half).unwrap()).unwrap()),
    ]
}

fn picture(len: usize, seed: f64) -> Vec<f32> {
    (0..len).map(|i| ((i as f64 * seed).sin() * 0.9) as f32).collect()
}

/// Every operator by the engine, against its f64 form, on several images at once.
#[test]
fn operators_are_those_of_the_host() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let shape = Shape::new(8, 12, 3);
    let mut graph = Graph::new();
    let x = graph.input("x", shape).unwrap();
    graph.output("output", x);
    let nets =
        [NetGraph { graph, images: vec!["x".into()], time: None, label: None, output: "output".into() }];
    for degradation in all(shape) {
        for map in [degradation.operator(), degradation.adjoint(), degradation.pseudo_inverse()] {
            let net = Net { name: "model".into(), inputs: vec![shape], output: shape };
            let mut program = Program::new("apply", map.to(), net);
            let src = program.register("src", map.from());
            program.registers[src.0 as usize].input = true;
            let operator = program.operator("A", map.clone());
            let dst = program.output;
            let instructions = vec![Instruction::Apply { dst, operator, src }];
            program.steps.push(Step { label: "apply".into(), instructions });
            assert!(program.to_string().contains("x = A src"), "{program}");
            let store = WeightStore::default();
            let made = Executable::new(&gpu, &program, &nets, 3, FLOATS, &store, |_, _| {});
            let exe = pollster::block_on(made).unwrap();
            let given = picture(3 * map.from().len(), 0.7);
            exe.start(&Batch { registers: vec![(src, given.clone())], ..Batch::default() }).unwrap();
            exe.run_step(0).unwrap();
            let got = exe.read_register(dst.0 as usize, 3 * map.to().len()).unwrap();
            for (given, got) in given.chunks(map.from().len()).zip(got.chunks(map.to().len())) {
                let given: Vec<f64> = given.iter().map(|v| f64::from(*v)).collect();
                let inputs = Inputs { registers: vec![(src, given.clone())], ..Inputs::default() };
                let net = |_: undiffuse::diffusion::program::NetCall<'_>| Ok(Vec::new());
                let want = program.interpret(&inputs, net, |_, _| Vec::new(), |_| ()).unwrap();
                assert_eq!(want, map.apply(&given));
                let scale = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                let far = got.iter().zip(&want).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                assert!(far < 2e-6 * scale, "{}: {far} of {scale}", degradation.name());
            }
        }
    }
}

/// What is drawn agrees with what was given: within half of what 8 bits tell.
#[test]
fn restorations_agree_with_the_measurement() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::tiny().write(&dir.path().join("model"));
    let gpu = Gpu::open(&Options::default()).unwrap();
    let pipeline = Pipeline::new(&gpu, Model::open(&folder).unwrap(), |_, _| {}).unwrap();
    let shape = pipeline.model().image();
    let whole = picture(shape.len(), 0.3);
    let jumps = SolverOptions { jump_length: Some(2), jump_n_sample: Some(2), ..Default::default() };
    let mut tasks: Vec<(Sampler, SolverOptions, Arc<dyn Degradation>)> =
        all(shape).into_iter().map(|d| (Sampler::Ddnm, SolverOptions::default(), d)).collect();
    tasks.extend(all(shape).into_iter().map(|d| (Sampler::Ddrm, SolverOptions::default(), d)));
    let half: Vec<bool> = (0..shape.pixels() / 4).map(|i| i % 3 != 0).collect();
    let masked = Masked::new(Arc::new(Axes::average(shape, 2).unwrap()), &half).unwrap();
    tasks.push((Sampler::Ddnm, SolverOptions::default(), Arc::new(masked)));
    tasks.push((Sampler::RePaint, jumps, all(shape).remove(0)));
    tasks.push((Sampler::Pc, SolverOptions::default(), all(shape).remove(0)));
    for (sampler, solver, degradation) in tasks {
        let a = degradation.operator();
        let given: Vec<f64> = whole.iter().map(|v| f64::from(*v)).collect();
        let measured: Vec<f32> = a.apply(&given).iter().map(|v| *v as f32).collect();
        let inverse = degradation.pseudo_inverse();
        let name = format!("{} by {}", degradation.name(), sampler.name());
        let sees_all = degradation.spectrum().is_some_and(|s| s.values.iter().all(|v| *v > 0.0));
        let options = Sample {
            count: 3,
            sampler,
            solver,
            steps: Some(6),
            restoration: Some(Restoration { degradation, measured: measured.clone(), noise: 0.0 }),
            outputs: FLOATS,
            ..Sample::default()
        };
        let draw = |batch| {
            let options = Sample { batch: Some(batch), ..options.clone() };
            pipeline.sample(&options).unwrap().tensors().unwrap().values
        };
        let values = draw(3);
        assert!(values == draw(2), "{name}: an image depends on its batch");
        let seen = |y: &[f64]| a.apply(&inverse.apply(y));
        let wanted = seen(&measured.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        let images: Vec<&[f32]> = values.chunks(shape.len()).collect();
        assert!(sees_all || images[0] != images[1] && images[1] != images[2], "{name}");
        for image in images {
            let image: Vec<f64> = image.iter().map(|v| f64::from(*v)).collect();
            let again = seen(&a.apply(&image));
            let far = again.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1.0 / 255.0, "{name}: {far}");
        }
    }
}

fn save(path: &Path, size: (u32, u32)) {
    let at = |x: u32, y: u32| Rgb([(x * 15) as u8, (y * 15) as u8, 90]);
    RgbImage::from_fn(size.0, size.1, at).save(path).unwrap();
}

#[test]
fn verbs_restore_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let model = Folder::tiny().write(&dir.path().join("model"));
    let side = Model::open(&model).unwrap().image().w as u32;
    let at = |name: &str| dir.path().join(name);
    let (whole, mask, small, clear, out) =
        (at("whole.png"), at("mask.png"), at("small.png"), at("clear.png"), at("out.png"));
    let hide = |x: u32| if x < side / 2 { 255 } else { 0 };
    save(&whole, (side, side));
    save(&small, (side / 2, side / 2));
    RgbImage::from_fn(side / 2, side / 2, |x, _| Rgb([hide(2 * x); 3])).save(at("half.png")).unwrap();
    RgbImage::from_fn(2, 3, |x, y| Rgb([(x * 90 + y * 20) as u8; 3])).save(at("kernel.png")).unwrap();
    RgbImage::from_fn(side, side, |x, _| Rgb([hide(x); 3])).save(&mask).unwrap();
    RgbaImage::from_fn(side, side, |x, y| Rgba([(x * 15) as u8, (y * 15) as u8, 90, 255 - hide(x)]))
        .save(&clear)
        .unwrap();
    let with = |verb: &[&str]| {
        let more = [
            "--model",
            arg(&model),
            "--steps",
            "4",
            "--count",
            "2",
            "--zoom",
            "1",
            "--json",
            "--out",
            arg(&out),
        ];
        let ran = good(&[verb, &more[..]].concat());
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&json["count"], &json["nfe"]), (&2.into(), &4.into()));
        assert_eq!(json["batch_invariant"], true);
        assert_eq!(json["kernel_set"], undiffuse::kernels::set_hash());
        (json, image::open(&out).unwrap().to_rgb8(), ran.stderr)
    };
    let (json, sheet, _) = with(&["inpaint", arg(&whole), "--mask", arg(&mask)]);
    assert!(json["off_by_255ths"].as_f64().unwrap() < 0.01, "{json}");
    // The known half of both restorations is the picture's, byte by byte.
    let gap = (side / 16).max(1);
    for image in 1..3 {
        let left = gap + (image % 3) * (side + gap);
        for (x, y) in [(side / 2, 0), (side - 1, side - 1), (side * 3 / 4, side / 3)] {
            let shown = sheet.get_pixel(left + x, gap + y).0;
            assert_eq!(shown, [(x * 15) as u8, (y * 15) as u8, 90], "image {image}, {x}, {y}");
        }
    }
    // The same from transparency.
    assert!(with(&["inpaint", arg(&clear)]).1 == sheet);
    let (json, ..) = with(&["superres", arg(&small), "--scale", "2"]);
    assert!(json["off_by_255ths"].as_f64().unwrap() < 0.01 && json["psnr"].is_null(), "{json}");
    let (json, _, said) =
        with(&["superres", arg(&whole), "--scale", "2", "--kernel", "bicubic", "--degrade"]);
    assert!(json["psnr"]["pseudo_inverse"].as_f64().unwrap() > 15.0, "{json}");
    assert!(said.contains("PSNR"), "{said}");
    with(&["colorize", arg(&whole)]);
    let (json, ..) = with(&["deblur", arg(&whole), "--deviation", "0.7", "--degrade"]);
    assert!(json["psnr"]["single"].as_f64().unwrap() > 5.0, "{json}");
    let (json, ..) =
        with(&["superres", arg(&small), "--scale", "2", "--grey", "--mask", arg(&at("half.png"))]);
    assert!(json["off_by_255ths"].as_f64().unwrap() < 0.01, "{json}");
    let (json, ..) = with(&["deblur", arg(&whole), "--kernel", arg(&at("kernel.png")), "--degrade"]);
    assert!(json["degradation"].as_str().unwrap().contains("3 x 2"), "{json}");
    let noisy = ["deblur", arg(&whole), "--deviation", "0.7", "--degrade", "--noise", "4"];
    let (json, ..) = with(&[&noisy[..], &["--sampler", "ddrm"]].concat());
    assert_eq!(json["sampler"], "ddrm");
    let (.., said) = with(&["deblur", arg(&small)]);
    assert!(said.contains("resized to"), "{said}");
    // A breath of noise keeps the picture, all of it does not.
    let (json, gentle, _) = with(&["edit", arg(&whole), "--strength", "0.01"]);
    assert_eq!(json["strength"], 0.01);
    let (_, strong, _) = with(&["edit", arg(&whole), "--strength", "1", "--sampler", "ddpm"]);
    let far = |sheet: &RgbImage| -> u32 {
        let of = |x: u32, y: u32| sheet.get_pixel(gap + side + gap + x, gap + y).0;
        let all = (0..side * side).map(|i| (i % side, i / side));
        all.map(|(x, y)| u32::from(of(x, y)[0].abs_diff((x * 15) as u8))).sum()
    };
    assert!(4 * far(&gentle) < far(&strong), "{} {}", far(&gentle), far(&strong));
    // Nothing unknown: the picture. All unknown: anything.
    RgbImage::new(side, side).save(&mask).unwrap();
    let (_, sheet, _) = with(&["inpaint", arg(&whole), "--mask", arg(&mask)]);
    assert_eq!(sheet.get_pixel(gap + side + gap + 3, gap + 2).0, [45, 30, 90]);
    RgbImage::from_pixel(side, side, Rgb([255; 3])).save(&mask).unwrap();
    with(&["inpaint", arg(&whole), "--mask", arg(&mask)]);
}

/// A set is restored picture by picture: the first as alone, all in one job, what is there is not drawn again.
#[test]
fn sets_are_restored_and_judged() {
    let dir = tempfile::tempdir().unwrap();
    let model = Folder::tiny().write(&dir.path().join("model"));
    let side = Model::open(&model).unwrap().image().w as u32;
    let at = |name: &str| dir.path().join(name);
    let (set, mask, out, strip) = (at("set"), at("mask.png"), at("out.npz"), at("strip.png"));
    std::fs::create_dir(&set).unwrap();
    for i in 0..4 {
        let pixel = |x: u32, y: u32| Rgb([(x * 12 + i * 20) as u8, (y * 9 + i * 31) as u8, (i * 60) as u8]);
        RgbImage::from_fn(side, side, pixel).save(set.join(format!("{i}.png"))).unwrap();
    }
    RgbImage::from_fn(side, side, |x, _| Rgb([if x < 3 { 255 } else { 0 }; 3])).save(&mask).unwrap();
    let rest =
        ["--model", arg(&model), "--sampler", "ddrm", "--steps", "3", "--count", "2", "--out", arg(&out)];
    let work = |name: &str| at(name).to_str().unwrap().to_string();
    let with = |verb: &[&str], folder: &str| {
        let ran = good(&[verb, &[arg(&set)], &rest, &["--json", "--work", &work(folder)]].concat());
        (serde_json::from_str::<Value>(&ran.stdout).unwrap(), ran.stderr)
    };
    let (json, said) =
        with(&["superres", "--scale", "2", "--degrade", "--batch", "3", "--strip", arg(&strip)], "a");
    assert_eq!((&json["pictures"], &json["count"], &json["nfe"]), (&4.into(), &2.into(), &3.into()));
    let value = |json: &Value, way: usize| json["ways"][way]["psnr"]["value"].as_f64().unwrap();
    assert!(value(&json, 0) > 10.0 && value(&json, 2) >= value(&json, 1), "{json}");
    assert_eq!(json["ways"][0]["name"], "bicubic");
    assert!(said.contains("bicubic") && said.contains("the mean of 2"), "{said}");
    assert!(image::open(&strip).unwrap().width() > 4 * side);
    // Whole, left, bicubic, two ways and the mean lie in the file; the first is what the pictures are.
    let read = |name: &str| -> Vec<u8> {
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&out).unwrap()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut zip.by_name(&format!("{name}.npy")).unwrap(), &mut bytes).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(file.shape()[0], 4, "{name}");
        file.into_vec::<u8>().unwrap()
    };
    let (whole, images) = (read("whole"), read("images"));
    let len = (side * side * 3) as usize;
    for i in 0..4 {
        let picture = image::open(set.join(format!("{i}.png"))).unwrap().to_rgb8();
        assert_eq!(&whole[i * len..(i + 1) * len], &picture.as_raw()[..]);
    }
    // Restored in other batches, all at once, they are the same; and once done, nothing is drawn.
    let (again, _) = with(&["superres", "--scale", "2", "--degrade"], "b");
    assert_eq!((&read("images"), &again["ways"]), (&images, &json["ways"]));
    let (again, _) = with(&["superres", "--scale", "2", "--degrade"], "a");
    assert_eq!(again["speed"], json["speed"]);
    // Each is of its own picture: nearest to it in what the measurement tells, but for what is cut off at black.
    let average = |levels: &[u8]| levels.iter().map(|v| f64::from(*v)).sum::<f64>() / levels.len() as f64;
    let means: Vec<f64> = whole.chunks(len).map(average).collect();
    for (i, image) in images.chunks(len).enumerate() {
        let far = |j: &usize| (means[*j] - average(image)).abs();
        let nearest = (0..4).min_by(|a, b| far(a).total_cmp(&far(b)));
        assert_eq!(nearest, Some(i), "{} of {means:?}", average(image));
    }
    // A part of the set, of a hole; without --degrade nothing is known of what was.
    let (json, _) = with(&["inpaint", "--mask", arg(&mask), "--pictures", "2", "--degrade"], "c");
    assert_eq!((&json["pictures"], &json["ways"][0]["name"]), (&2.into(), &"mean fill".into()));
    assert!(value(&json, 0) > 5.0);
    let (json, _) = with(&["colorize"], "d");
    assert!(json["ways"][0]["psnr"].is_null() && json["ways"].as_array().unwrap().len() == 3, "{json}");
    let (json, _) = with(&["deblur", "--degrade", "--deviation", "0.8", "--noise", "5"], "e");
    assert_eq!(json["ways"][0]["name"], "Wiener");
    let refused = |more: &[&str], words: &[&str]| {
        run(&[&["superres", arg(&set), "--scale", "2"], &rest[..], more].concat()).refused(words);
    };
    refused(&["--work", &work("a")], &["another run", "--work"]);
    refused(&["--reference", arg(&at("gone.npz"))], &["gone.npz"]);
    refused(&["--strip", arg(&at("strip.jpg"))], &["strip.jpg", ".png"]);
    run(&["superres", arg(&set), "--model", arg(&model)]).refused(&["restored.png", ".npz"]);
    let one = set.join("0.png");
    run(&["superres", arg(&one), "--model", arg(&model), "--pictures", "3"]).refused(&["--pictures", "set"]);
}

#[test]
fn what_cannot_be_restored_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = Folder::tiny().write(&dir.path().join("model"));
    let side = Model::open(&model).unwrap().image().w as u32;
    let (whole, mask, out) =
        (dir.path().join("whole.png"), dir.path().join("mask.png"), dir.path().join("out.png"));
    save(&whole, (side, side));
    save(&mask, (side + 1, side));
    let refused = |args: &[&str], words: &[&str]| {
        let more = ["--model", arg(&model), "--steps", "2", "--count", "1", "--out", arg(&out)];
        run(&[args, &more[..]].concat()).refused(words);
    };
    refused(&["inpaint", arg(&whole), "--mask", arg(&mask)], &["--mask", "picture's size"]);
    refused(&["inpaint", arg(&whole)], &["transparent", "--mask"]);
    refused(&["superres", arg(&whole), "--scale", "5"], &["scale", "divide"]);
    refused(&["superres", arg(&whole), "--scale", "0"], &["scale"]);
    refused(&["deblur", arg(&whole), "--deviation", "0"], &["deviation"]);
    refused(&["deblur", arg(&whole), "--deviation", "1000"], &["deviation"]);
    refused(&["deblur", arg(&whole), "--eta", "2"], &["eta"]);
    refused(&["deblur", arg(&whole), "--kernel", arg(&mask)], &["kernel", "fit"]);
    refused(&["superres", arg(&whole), "--scale", "2", "--mask", arg(&mask)], &["--mask", "picture's size"]);
    refused(&["deblur", arg(&whole), "--noise", "3"], &["noise", "ddnm", "ddrm"]);
    refused(&["deblur", arg(&whole), "--sampler", "repaint"], &["blur", "repaint", "ddnm"]);
    refused(&["deblur", arg(&whole), "--sampler", "euler"], &["euler", "restore", "ddrm"]);
    refused(&["deblur", arg(&whole), "--jump-length", "3"], &["jump-length", "repaint"]);
    refused(&["colorize", arg(&dir.path().join("gone.png"))], &["gone.png"]);
    refused(&["edit", arg(&whole), "--strength", "0"], &["strength", "picture itself"]);
    refused(&["edit", arg(&whole), "--sampler", "euler"], &["euler", "ddim"]);
    run(&["colorize", arg(&whole), "--model", "toy/swiss-roll", "--out", arg(&out)])
        .refused(&["toy/swiss-roll"]);
    run(&["colorize", arg(&whole), "--model", arg(&model), "--out", "x.jpg"]).refused(&["x.jpg", ".png"]);
    run(&["sample", "--model", arg(&model), "--sampler", "ddnm", "--out", arg(&out)])
        .refused(&["ddnm", "inpaint"]);
    assert_eq!(names(dir.path()), ["mask.png", "model", "whole.png"]);
}
