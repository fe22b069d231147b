//! Jobs of a pipeline: counters, batches, chunks, threads.

use crate::model_folder::Model;
use crate::open;
use image::RgbImage;
use std::time::Duration;
use undiffuse::diffusion::sampler::Sampler;
use undiffuse::gpu::Gpu;
use undiffuse::pipeline::{Class, Pipeline, Sample};

fn pipeline(gpu: &Gpu, model: &Model) -> Pipeline {
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
    assert!(sent < 3 * 256, "{sent} bytes for three batches");
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
