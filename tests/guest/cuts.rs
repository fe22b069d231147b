//! Dispatches cut to any budget: the same bits.

use super::*;
use std::time::Duration;
use undiffuse::diffusion::sampler::Sampler;

#[test]
fn no_budget_changes_a_bit() {
    let gpu = open();
    // Large enough that single dispatches take longer than the shortest budget.
    let mut config = model_folder::config();
    config["sample_size"] = 32.into();
    let pipeline = pipeline(&gpu, &Model::of(config));
    for sampler in [Sampler::Ddim, Sampler::Ddpm] {
        let asked = Sample { sampler, steps: Some(4), ..options(4, 4) };
        let mut whole = pipeline.sample(&asked).unwrap();
        while whole.advance(Duration::from_secs(30)).unwrap().is_some() {}
        let wanted = whole.take();
        let least = whole.report().submissions;
        for budget in [Duration::ZERO, Duration::from_micros(500), Duration::from_millis(3)] {
            let mut job = pipeline.sample(&asked).unwrap();
            while job.advance(budget).unwrap().is_some() {}
            let report = job.report();
            assert!(job.take() == wanted, "{budget:?}");
            assert!(budget > Duration::ZERO || report.submissions > 4 * least, "{report:?}, whole {least}");
        }
    }
}

#[test]
fn looking_without_waiting_comes_to_the_same_end() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let wanted = images(&pipeline, &options(3, 2));
    let mut job = pipeline.sample(&options(3, 2)).unwrap();
    let mut idle = 0;
    while let Some(p) = job.try_advance(Duration::from_millis(2)).unwrap() {
        assert!(p.images <= 3);
        idle += 1;
        std::thread::sleep(Duration::from_micros(100));
    }
    assert!(idle > 2 && job.take() == wanted);
    // An executor of the application's own.
    let mut job = pipeline.sample(&options(3, 2)).unwrap();
    pollster::block_on(async {
        while job.advance_async(Duration::from_millis(1)).await.unwrap().is_some() {}
    });
    assert!(job.take() == wanted);
    let mut job = pollster::block_on(pipeline.sample_async(&options(3, 2), |_, _| {})).unwrap();
    pollster::block_on(job.finish_async()).unwrap();
    assert!(job.take() == wanted);
}

#[test]
fn drawing_compiles_nothing() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let opened = gpu.kernels_compiled();
    assert!(opened > 5, "the network's kernels are there: {opened}");
    let asked = Sample { sampler: Sampler::Ddpm, guidance_scale: 2.0, ..options(3, 2) };
    let mut job = pipeline.sample(&asked).unwrap();
    let planned = gpu.kernels_compiled();
    job.finish().unwrap();
    assert_eq!(gpu.kernels_compiled(), planned);
    let uploaded = job.report().bytes_up;
    // And the next job sends no weights.
    let next = pipeline.sample(&asked).unwrap().report().bytes_up;
    assert!(next < uploaded + 1 && next < 100_000, "{next} of {uploaded}");
}
