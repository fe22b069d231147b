//! Several jobs and threads of the engine's, and threads of the application's.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undiffuse::pipeline::{Canceller, Job, PipelineError};

fn is_send<T: Send>() {}
fn is_shared<T: Send + Sync>() {}

#[test]
fn jobs_move_between_threads() {
    is_send::<Job>();
    is_shared::<Pipeline>();
    is_shared::<Gpu>();
    is_shared::<Canceller>();
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let wanted = images(&pipeline, &options(4, 2));
    // Every chunk on another thread.
    let mut job = Some(pipeline.sample(&options(4, 2)).unwrap());
    let mut images = Vec::new();
    while let Some(mut moving) = job.take() {
        let moved = std::thread::spawn(move || {
            let more = moving.advance(Duration::from_micros(500)).unwrap().is_some();
            (moving, more)
        });
        let (mut back, more) = moved.join().unwrap();
        images.extend(back.take());
        job = more.then_some(back);
    }
    assert!(images == wanted);
}

#[test]
fn threads_that_open_at_once_have_the_weights_once() {
    let gpu = open();
    let alone = {
        let _one = pipeline(&gpu, &Model::tiny());
        gpu.memory_used()
    };
    assert_eq!(gpu.memory_used(), 0, "all is given back");
    let shared = pipeline(&gpu, &Model::tiny());
    assert_eq!(gpu.memory_used(), alone);
    let wanted: Vec<_> = (0..3).map(|seed| images(&shared, &Sample { seed, ..options(2, 2) })).collect();
    let used = gpu.memory_used();
    std::thread::scope(|s| {
        for (seed, wanted) in wanted.iter().enumerate() {
            let shared = &shared;
            s.spawn(move || {
                for _ in 0..3 {
                    assert!(images(shared, &Sample { seed: seed as u64, ..options(2, 2) }) == *wanted);
                }
            });
        }
    });
    assert_eq!(gpu.memory_used(), used);
}

#[test]
fn an_application_may_poll_or_not() {
    let (device, queue) = application(wgpu::Limits::defaults());
    let gpu = Gpu::adopt(device.clone(), queue);
    let pipeline = pipeline(&gpu, &Model::tiny());
    // Nobody polls but the engine.
    let wanted = images(&pipeline, &options(3, 2));
    // A thread that looks all the time, and one that waits for whatever runs.
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for poll in [wgpu::PollType::Poll, wgpu::PollType::wait_indefinitely()] {
            let (device, stop) = (&device, &stop);
            s.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = device.poll(poll.clone());
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
        let mut job = pipeline.sample(&options(3, 2)).unwrap();
        while job.advance(Duration::from_millis(1)).unwrap().is_some() {}
        assert!(job.take() == wanted);
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn cancelled_at_every_chunk() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let asked = options(4, 2);
    let wanted = images(&pipeline, &asked);
    let mut before = 0;
    loop {
        let mut job = pipeline.sample(&asked).unwrap();
        let canceller = job.canceller();
        let ended = (0..before).any(|_| job.advance(Duration::from_micros(400)).unwrap().is_none());
        let on_another_thread = std::thread::spawn(move || canceller.cancel());
        on_another_thread.join().unwrap();
        let error = job.advance(Duration::from_millis(1)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, PipelineError::Cancelled { count: 4, .. }), "{text}");
        assert!(text.contains("cancelled") && text.contains("of 4 images"), "{text}");
        let taken = job.take();
        assert!(taken == wanted[..taken.len()]);
        if ended {
            break;
        }
        before += 1;
    }
    assert!(before > 4, "{before} chunks");
    assert!(images(&pipeline, &asked) == wanted);
}
