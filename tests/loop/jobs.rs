//! Jobs of a pipeline: counters, batches, chunks, threads.

use crate::model_folder::Model;
use crate::open;
use image::RgbImage;
use std::time::Duration;
use undiffuse::diffusion::program::{Inputs, NetCall};
use undiffuse::diffusion::sampler::{ErrorControl, Sampler, SolverOptions};
use undiffuse::engine::evaluate;
use undiffuse::gpu::Gpu;
use undiffuse::kernels::noise;
use undiffuse::pipeline::{Class, Pipeline, Sample};
use undiffuse::shape::Shape;

pub fn pipeline(gpu: &Gpu, model: &Model) -> Pipeline {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Weights stay mapped after the folder is gone.
    Pipeline::open(gpu, model.write(dir.path())).expect("a good model")
}

fn options(count: usize, batch: usize) -> Sample {
    Sample { count, batch: Some(batch), steps: Some(3), ..Sample::default() }
}

fn images(pipeline: &Pipeline, options: &Sample) -> Vec<RgbImage> {
    pipeline.sample(options).and_then(|mut job| job.images()).expect("images")
}

#[test]
fn one_map_and_one_readback_a_batch() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let before = gpu.counters();
    let mut job = pipeline.sample(&options(7, 3)).unwrap();
    let planned = job.report();
    assert_eq!((planned.maps, planned.bytes_down, planned.images), (0, 0, 0));
    while let Some(p) = job.advance(Duration::from_millis(20)).unwrap() {
        // Maps come with finished batches alone.
        let done = p.images.div_ceil(3) as u64;
        assert_eq!(job.report().maps, done, "{p:?}");
    }
    let report = job.report();
    assert_eq!((report.batches, report.batch, report.images), (3, 3, 7));
    assert_eq!((report.maps, report.status_maps), (3, 0));
    // Pixels (rows of 64 words) and a count of bad values per image, and nothing else.
    assert_eq!(report.bytes_down, 3 * 3 * (8 * 64 + 1) * 4);
    assert!((3..=100).contains(&report.submissions), "{report:?}");
    // Batches after the first send no weights.
    let sent = report.bytes_up - planned.bytes_up;
    // (A dispatch that is cut sends the bounds of its parts.)
    assert!(sent < 3 * 4096, "{sent} bytes for three batches");
    // The device's own counters saw this job alone.
    let now = gpu.counters();
    assert_eq!(now.maps - before.maps, report.maps);
    assert_eq!(now.bytes_up - before.bytes_up, report.bytes_up);
    assert_eq!(job.advance(Duration::ZERO).unwrap(), None);
    assert_eq!(job.images().unwrap().len(), 7);
}

#[test]
fn the_batch_does_not_matter() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    for sampler in [Sampler::Ddim, Sampler::Ddpm] {
        let with = |batch| images(&pipeline, &Sample { sampler, guidance_scale: 2.0, ..options(16, batch) });
        let one = with(1);
        assert!(one.windows(2).all(|w| w[0] != w[1]), "sixteen different images");
        assert!(with(3) == one);
        assert!(with(16) == one);
        let late = Sample { sampler, guidance_scale: 2.0, first_index: 5, ..options(4, 4) };
        assert!(images(&pipeline, &late) == one[5..9]);
    }
}

#[test]
fn chunks_do_not_matter() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::tiny());
    let mut all = Vec::new();
    for budget in
        [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50), Duration::from_secs(10)]
    {
        let mut job = pipeline.sample(&options(3, 2)).unwrap();
        let mut last = 0.0;
        while let Some(p) = job.advance(budget).unwrap() {
            assert!(p.fraction() >= last && p.step <= p.steps, "{p:?} after {last}");
            last = p.fraction();
        }
        assert_eq!(last, 1.0);
        assert_eq!(job.report().maps, 2, "{budget:?}");
        all.push((job.images().unwrap(), job.report().submissions));
    }
    assert!(all.iter().all(|a| a.0 == all[0].0));
    let submissions: Vec<u64> = all.iter().map(|a| a.1).collect();
    assert!(submissions[0] > submissions[2] && submissions[3] <= 40, "{submissions:?}");
}

#[test]
fn jobs_of_two_threads_do_not_meet() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let of = |seed, class| Sample { seed, class: Class::Index(class), ..options(4, 2) };
    let wanted = [images(&pipeline, &of(1, 0)), images(&pipeline, &of(2, 2))];
    let draw = |seed, class| {
        let mut job = pipeline.sample(&of(seed, class)).unwrap();
        while job.advance(Duration::from_micros(200)).unwrap().is_some() {
            std::thread::yield_now();
        }
        let report = job.report();
        assert_eq!((report.maps, report.bytes_down), (2, 2 * 2 * (8 * 64 + 1) * 4), "{report:?}");
        job.images().unwrap()
    };
    std::thread::scope(|s| {
        let other = s.spawn(|| draw(2, 2));
        assert!(draw(1, 0) == wanted[0]);
        assert!(other.join().expect("no panic") == wanted[1]);
    });
    // Two jobs of one thread, in turn.
    let (mut a, mut b) = (pipeline.sample(&of(1, 0)).unwrap(), pipeline.sample(&of(2, 2)).unwrap());
    loop {
        let more = (a.advance(Duration::ZERO).unwrap(), b.advance(Duration::ZERO).unwrap());
        if more == (None, None) {
            break;
        }
    }
    assert!([a.take(), b.take()] == wanted);
}

#[test]
fn a_job_may_be_dropped_in_the_middle() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::tiny());
    let wanted = images(&pipeline, &options(2, 2));
    for chunks in 1..4 {
        let mut job = pipeline.sample(&Sample { steps: Some(500), ..options(2, 2) }).unwrap();
        for _ in 0..chunks {
            job.advance(Duration::from_millis(5)).unwrap();
        }
        drop(job);
        assert!(images(&pipeline, &options(2, 2)) == wanted);
    }
}

#[test]
fn every_sampler_draws_something_else_and_the_same_again() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::tiny());
    let ddpm = Sample { sampler: Sampler::Ddpm, steps: Some(5), ..options(2, 2) };
    let ddim = Sample { steps: Some(5), ..options(2, 2) };
    let noisy = Sample { eta: Some(1.0), ..ddim.clone() };
    let all = [&ddpm, &ddim, &noisy].map(|o| images(&pipeline, o));
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    assert!(images(&pipeline, &noisy) == all[2]);
    let report = pipeline.sample(&ddpm).unwrap().report();
    assert_eq!((report.steps, report.nfe), (5, 5));
}

fn largest_difference(a: &[RgbImage], b: &[RgbImage]) -> u8 {
    assert_eq!(a.len(), b.len());
    let bytes = a.iter().zip(b).flat_map(|(a, b)| a.as_raw().iter().zip(b.as_raw()));
    bytes.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn an_adapter_of_core_limits_draws_the_same_pictures() {
    let (full, core) = (open(false), open(true));
    let model = Model::with_classes();
    let with = |batch| Sample { guidance_scale: 2.0, steps: Some(2), ..options(3, batch) };
    let core = pipeline(&core, &model);
    let pictures = images(&core, &with(3));
    assert!(largest_difference(&images(&pipeline(&full, &model), &with(3)), &pictures) <= 1);
    for batch in [1, 2] {
        assert!(images(&core, &with(batch)) == pictures, "batch {batch}");
    }
}

#[test]
#[cfg(feature = "emoji32")]
fn the_embedded_model_on_core_limits() {
    // One image of few steps: without subgroups a software adapter is slow.
    let with = |count, batch| Sample { steps: Some(2), ..options(count, batch) };
    let full = Pipeline::embedded(&open(false), "emoji32").unwrap();
    let core = Pipeline::embedded(&open(true), "emoji32").unwrap();
    let pictures = images(&full, &with(2, 2));
    assert!(images(&full, &with(2, 1)) == pictures);
    assert!(largest_difference(&images(&core, &with(1, 1)), &pictures[..1]) <= 1);
}

#[test]
fn an_adopted_device_stays_the_applications() {
    let own = open(true);
    let (device, queue) = (own.device().clone(), own.queue().clone());
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = seen.clone();
    device.on_uncaptured_error(std::sync::Arc::new(move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }));
    let model = Model::with_classes();
    let wanted = images(&pipeline(&own, &model), &options(2, 2));
    let guest = Gpu::adopt(device.clone(), queue);
    assert_eq!(images(&pipeline(&guest, &model), &options(2, 2)), wanted);
    // The application's own mistakes still reach the application's handler, and only they.
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
    let _ = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::MAX / 2,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 1);
}

fn adaptive(sampler: Sampler, count: usize, batch: usize) -> Sample {
    let (rtol, atol) = if sampler == Sampler::Rk45 { (1e-3, 1e-3) } else { (0.02, 0.0078) };
    let solver = SolverOptions { rtol: Some(rtol), atol: Some(atol), ..Default::default() };
    Sample { sampler, steps: None, solver, ..options(count, batch) }
}

#[test]
fn adaptive_steps_are_decided_on_the_gpu() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    for sampler in [Sampler::Rk45, Sampler::DpmAdaptive] {
        let mut wanted = None;
        for (batch, budget) in [(3, 0), (1, 50), (2, 2), (3, 10_000)] {
            let mut job = pipeline.sample(&adaptive(sampler, 3, batch)).unwrap();
            let mut last = 0.0;
            while let Some(p) = job.advance(Duration::from_millis(budget)).unwrap() {
                assert!(p.fraction() >= last && p.fraction() <= 1.0, "{p:?} after {last}");
                last = p.fraction();
            }
            let report = job.report();
            let adaptive = report.adaptive.clone().unwrap();
            assert_eq!(adaptive.accepted.len(), 3);
            assert!(adaptive.accepted.iter().all(|&n| n > 1), "{adaptive:?}");
            let pass = if sampler == Sampler::Rk45 { 6 } else { 3 };
            let once = if sampler == Sampler::Rk45 { 3 } else { 1 };
            for (i, nfe) in adaptive.nfe.iter().enumerate() {
                assert_eq!(*nfe, once + pass * u64::from(adaptive.accepted[i] + adaptive.rejected[i]));
            }
            // Where nobody waits for anybody nothing is wasted.
            let most = adaptive.nfe.iter().max().unwrap();
            assert_eq!(report.nfe as u64, *most);
            if batch == 1 {
                assert_eq!(adaptive.nfe_wasted, 0);
            }
            if batch == 3 {
                assert_eq!(adaptive.nfe_wasted, adaptive.nfe.iter().map(|n| most - n).sum::<u64>());
            }
            // The host looks once in four evaluations at most, and never in vain: what it sees
            // is a chunk old, so two chunks more are all that it submits.
            let evaluated = report.batches as u64 * (most + 2 * pass + 4);
            assert!(report.status_maps <= evaluated / 4, "{report:?}");
            assert_eq!(report.maps, report.batches as u64 + report.status_maps);
            let what = format!("{sampler:?}, batch {batch}, budget {budget}");
            let (pictures, nfe) = wanted.get_or_insert((job.images().unwrap(), adaptive.nfe.clone()));
            assert_eq!(*nfe, adaptive.nfe, "{what}");
            let differ = largest_difference(&job.images().unwrap(), pictures);
            assert_eq!(differ, 0, "{what}");
        }
    }
}

#[test]
fn errors_of_a_whole_batch() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let mut o = adaptive(Sampler::Rk45, 3, 3);
    o.solver.error_control = ErrorControl::Batch;
    let mut job = pipeline.sample(&o).unwrap();
    let images = job.images().unwrap();
    let report = job.report();
    let adaptive = report.adaptive.clone().unwrap();
    assert!(adaptive.nfe.iter().all(|n| *n == adaptive.nfe[0]) && adaptive.nfe_wasted == 0, "{adaptive:?}");
    assert!(report.notes.iter().any(|n| n.contains("depends on its batch")), "{report:?}");
    let made = job.provenance();
    assert!(!made.batch_invariant);
    let again = made.options().unwrap();
    assert_eq!((again.batch, again.solver, again.steps), (Some(3), o.solver, None));
    assert!(pipeline.sample(&again).and_then(|mut job| job.images()).unwrap() == images);
}

#[test]
fn adaptive_options_are_refused_in_words() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::tiny());
    let refused = |o: &Sample| pipeline.sample(o).expect_err("refused").to_string();
    let steps = Sample { steps: Some(9), ..adaptive(Sampler::Rk45, 1, 1) };
    assert!(refused(&steps).contains("chooses its steps itself"));
    let o = adaptive(Sampler::Ddim, 1, 1);
    assert!(refused(&o).contains("ddim has no rtol"));
}

#[test]
fn continuous_samplers_draw_finite_images() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let mut all = Vec::new();
    for sampler in Sampler::all().filter(|s| s.is_continuous() && !s.is_adaptive()) {
        let o = Sample { sampler, steps: Some(7), guidance_scale: 1.5, ..options(3, 3) };
        let pictures = images(&pipeline, &o);
        assert!(images(&pipeline, &Sample { batch: Some(2), ..o }) == pictures, "{sampler:?}");
        all.push(pictures);
    }
    assert!(all.len() == 6 && (1..6).all(|i| all[i] != all[0]));
}

/// Steps of each image that the interpreter takes in f64, the network being evaluated in f32.
fn interpreted(pipeline: &Pipeline, o: &Sample) -> Vec<u32> {
    let program = pipeline.program(o).unwrap();
    let net = pipeline.model().network();
    let slot = |name: &str| program.find_slot(name).unwrap().0 as usize;
    let (accepted, rejected) = (slot("accepted"), slot("rejected"));
    let class = program.find_slot("class");
    let mut counts = Vec::new();
    for i in 0..o.count {
        let index = o.first_index + i as u64;
        let label = pipeline.model().label(&o.class, index).unwrap();
        let slots = class.map(|slot| (slot, f64::from(label.unwrap()))).into_iter().collect();
        let call = |call: NetCall<'_>| {
            let x: Vec<f32> = call.inputs[0].iter().map(|v| *v as f32).collect();
            let (time, label) = ([call.time as f32], [call.label.unwrap_or(0.0) as f32]);
            let mut given = vec![(net.images[0].as_str(), &x[..])];
            given.extend(net.time.as_deref().map(|name| (name, &time[..])));
            given.extend(net.label.as_deref().map(|name| (name, &label[..])));
            let out = evaluate(pipeline.gpu(), &net.graph, 1, &given, &[&net.output])?;
            Ok(out[0].iter().map(|v| f64::from(*v)).collect())
        };
        let noise = |draw, shape: Shape| {
            let mut out = vec![0f32; shape.len()];
            noise::fill(o.seed, index, draw, &mut out);
            out.into_iter().map(f64::from).collect()
        };
        let mut count = 0.0;
        let inputs = Inputs { slots, ..Default::default() };
        program.interpret(&inputs, call, noise, |s| count = s.slots[accepted] + s.slots[rejected]).unwrap();
        counts.push(count as u32);
    }
    counts
}

/// Steps of each image as the device took them, and as f64 takes them.
fn steps(pipeline: &Pipeline, o: &Sample) -> [Vec<u32>; 2] {
    let mut job = pipeline.sample(o).unwrap();
    job.images().unwrap();
    let adaptive = job.report().adaptive.unwrap();
    let got: Vec<u32> = adaptive.accepted.iter().zip(&adaptive.rejected).map(|(a, r)| a + r).collect();
    let want = interpreted(pipeline, o);
    println!(
        "{:?}: steps {got:?}, in f64 {want:?}, {} wasted of {:?}",
        o.sampler, adaptive.nfe_wasted, adaptive.nfe
    );
    [got, want]
}

fn is_within(got: f64, want: f64) -> bool {
    (got - want).abs() <= (0.05 * want).max(2.0)
}

#[test]
fn adaptive_steps_are_those_of_f64() {
    let gpu = open(false);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    for sampler in [Sampler::Rk45, Sampler::DpmAdaptive, Sampler::DpmAdaptive12] {
        let [got, want] = steps(&pipeline, &adaptive(sampler, 2, 2));
        assert!(got.iter().zip(&want).all(|(g, w)| is_within(f64::from(*g), f64::from(*w))));
    }
}

#[test]
#[ignore = "minutes"]
#[cfg(feature = "emoji32")]
fn adaptive_steps_of_the_embedded_model_are_those_of_f64() {
    let count = std::env::var("UNDIFFUSE_IMAGES").ok().and_then(|n| n.parse().ok()).unwrap_or(16);
    let pipeline = Pipeline::embedded(&open(false), "emoji32").unwrap();
    let o = Sample { sampler: Sampler::Rk45, steps: None, ..options(count, count) };
    // Which steps are taken is chaotic here, on either side: of one image, initial noise that differs by
    // 1e-7 makes 54 steps of f64's own 51, more than what is allowed. What both have in common is how many
    // steps images take on the mean.
    let mean = |steps: &[u32]| f64::from(steps.iter().sum::<u32>()) / count as f64;
    let [got, want] = steps(&pipeline, &o);
    assert!(is_within(mean(&got), mean(&want)), "{} is not {}", mean(&got), mean(&want));
}
