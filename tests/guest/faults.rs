//! What goes wrong on a device, and what is said of it.

use super::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use undiffuse::pipeline::PipelineError;

fn lost(error: &PipelineError) {
    let text = error.to_string();
    for word in ["device was lost", "open it again", "restart the job"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_device_lost_in_the_middle_is_an_error_soon() {
    for chunks in [0, 1, 5] {
        for own in [true, false] {
            let gpu = if own {
                open()
            } else {
                let (device, queue) = application(wgpu::Limits::defaults());
                Gpu::adopt(device, queue)
            };
            let pipeline = pipeline(&gpu, &Model::tiny());
            let mut job = pipeline.sample(&Sample { steps: Some(200), ..options(2, 2) }).unwrap();
            for _ in 0..chunks {
                job.advance(Duration::from_millis(1)).unwrap();
            }
            gpu.device().destroy();
            let start = Instant::now();
            lost(&job.finish().unwrap_err());
            assert!(start.elapsed() < Duration::from_secs(60), "no deadline was waited for");
            // And again: nothing panics, nothing hangs.
            lost(&job.finish().unwrap_err());
            assert!(job.take().is_empty());
            let late = pipeline.sample(&options(1, 1));
            if let Ok(mut late) = late {
                assert!(late.images().is_err());
            }
        }
    }
}

#[test]
fn the_handlers_of_an_application_stay() {
    let (device, queue) = application(wgpu::Limits::defaults());
    let said = Arc::new(Mutex::new(Vec::new()));
    let (errors, losses) = (said.clone(), said.clone());
    device.on_uncaptured_error(Arc::new(move |e| errors.lock().unwrap().push(e.to_string())));
    device.set_device_lost_callback(move |_, _| losses.lock().unwrap().push("lost".into()));
    let gpu = Gpu::adopt(device.clone(), queue);
    let _pipeline = pipeline(&gpu, &Model::tiny());
    assert!(said.lock().unwrap().is_empty(), "the engine raises nothing");
    // Too large a buffer of the application's own is told to the application.
    let _ = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("theirs"),
        size: u64::MAX / 8,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    assert!(said.lock().unwrap()[0].contains("theirs"));
    device.destroy();
    let _ = device.poll(wgpu::PollType::Poll);
    assert!(said.lock().unwrap().contains(&"lost".to_string()));
}

#[test]
fn memory_that_runs_out_makes_the_batch_smaller() {
    let gpu = open();
    let pipeline = pipeline(&gpu, &Model::tiny());
    let asked = options(32, 32);
    let wanted = images(&pipeline, &asked);
    let all = {
        let job = pipeline.sample(&asked).unwrap();
        let used = gpu.memory_used();
        drop(job);
        used
    };
    let idle = gpu.memory_used();
    gpu.set_memory_budget(Some(idle + (all - idle) / 3));
    let mut job = pipeline.sample(&asked).unwrap();
    let report = job.report();
    assert!((1..32).contains(&report.batch), "{report:?}");
    let note = report.notes.join("");
    for word in ["a batch of 32 does not fit", "images are drawn at once", "the same images", "--memory"] {
        assert!(note.contains(word), "{word}: {note}");
    }
    assert!(job.images().unwrap() == wanted);
    drop(job);
    // Not even one image.
    gpu.set_memory_budget(Some(idle));
    let error = pipeline.sample(&options(1, 1)).unwrap_err().to_string();
    for word in ["1 images", "MiB that the engine may have", "smaller --batch", "--memory"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    gpu.set_memory_budget(None);
    assert!(images(&pipeline, &asked) == wanted);
    assert_eq!(gpu.memory_used(), idle);
}

/// What a weak device has: WebGPU's least limits, no features.
#[test]
fn core_limits_are_enough() {
    let (device, queue) = application(wgpu::Limits::defaults());
    assert!(device.features().is_empty());
    let gpu = Gpu::adopt(device, queue);
    let pipeline = pipeline(&gpu, &Model::with_classes());
    let mut job = pipeline.sample(&Sample { guidance_scale: 2.0, ..options(3, 3) }).unwrap();
    job.advance(Duration::from_millis(1)).unwrap();
    let _ = job.preview().unwrap();
    let wanted = job.images().unwrap();
    assert!(layers(&gpu, &job.texture(0..3).unwrap()) == wanted.iter().map(rgba).collect::<Vec<_>>());
}
