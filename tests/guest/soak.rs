//! Many jobs of every kind: nothing grows and no picture is wrong. `UNDIFFUSE_SOAK`
//! gives the seconds (for hours: `UNDIFFUSE_SOAK=14400 cargo test --release --test guest soak`).

use super::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use undiffuse::diffusion::sampler::Sampler;
use undiffuse::pipeline::Outputs;

/// Bytes of this process in memory, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

#[test]
fn two_hundred_jobs_leave_nothing() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let open_and_drop = |n: usize| {
        for i in 0..n {
            let mut job = pipeline.sample(&options(2, 2)).unwrap();
            for _ in 0..i % 4 {
                job.advance(Duration::from_micros(300)).unwrap();
            }
        }
    };
    open_and_drop(40);
    let (used, before) = (gpu.memory_used(), resident());
    open_and_drop(200);
    assert_eq!(gpu.memory_used(), used);
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before) >> 10;
        assert!(grown < 24 << 10, "{grown} KiB more after 200 jobs");
    }
}

#[test]
fn soak() {
    let seconds = std::env::var("UNDIFFUSE_SOAK").ok().and_then(|s| s.parse().ok()).unwrap_or(20);
    let gpu = open();
    let pipelines = [pipeline(&gpu, &Model::tiny()), pipeline(&gpu, &Model::with_classes())];
    let mut rng = SmallRng::seed_from_u64(7);
    let mut known: HashMap<(usize, &str, usize, u64, u64), RgbImage> = HashMap::new();
    let start = Instant::now();
    let (mut jobs, mut compared, mut settled) = (0, 0, None);
    while start.elapsed() < Duration::from_secs(seconds) {
        let model = rng.random_range(0..2);
        let sampler = [Sampler::Ddim, Sampler::Ddpm][rng.random_range(0..2)];
        let (steps, seed) = (rng.random_range(1..4), rng.random_range(0..3));
        let asked = Sample {
            count: rng.random_range(1..6),
            first_index: rng.random_range(0..8),
            batch: Some(rng.random_range(1..4)),
            sampler,
            steps: Some(steps),
            seed,
            outputs: Outputs { textures: rng.random(), tensors: rng.random(), images: true },
            ..Sample::default()
        };
        let budget = Duration::from_micros(rng.random_range(0..5000));
        let mut job = pipelines[model].sample(&asked).unwrap();
        // Every fourth is given up on the way.
        let patience = if rng.random_range(0..4) == 0 { rng.random_range(0..20) } else { usize::MAX };
        let mut turns = 0;
        while turns < patience && job.advance(budget).unwrap().is_some() {
            turns += 1;
            if rng.random_range(0..8) == 0 {
                job.preview().unwrap();
            }
        }
        for (i, image) in job.take().into_iter().enumerate() {
            let key = (model, sampler.name(), steps, seed, asked.first_index + i as u64);
            match known.get(&key) {
                Some(wanted) => {
                    assert!(image == *wanted, "another picture for {key:?}");
                    compared += 1;
                }
                None => drop(known.insert(key, image)),
            }
        }
        jobs += 1;
        if jobs == 60 {
            settled = resident();
        }
    }
    println!("{jobs} jobs, {compared} pictures compared");
    // A slow machine may not come far; what it did was right.
    if let (Some(before), Some(after)) = (settled, resident()) {
        let grown = after.saturating_sub(before) >> 20;
        assert!(grown < 48, "{grown} MiB more after {jobs} jobs");
    }
}
