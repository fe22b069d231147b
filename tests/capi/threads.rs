//! The interface from several threads, called as C calls it.

use std::ffi::{c_int, c_void, CStr};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use undiffuse::capi::*;

/// A handle for several threads, as the header allows.
#[derive(Clone, Copy)]
struct Shared(*mut undiffuse_job);

// SAFETY: the header says that calls on a job may come from any thread.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

static BEGUN: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: *const undiffuse_progress, _: *mut c_void) -> c_int {
    BEGUN.store(true, Ordering::SeqCst);
    0
}

#[test]
fn another_thread_cancels() {
    // SAFETY: as the header wants it: handles from the library, freed once, at the end.
    unsafe {
        let (mut gpu, mut pipeline, mut job) = (null_mut(), null_mut(), null_mut());
        assert_eq!(undiffuse_gpu_open(null(), null(), &mut gpu), undiffuse_status::UNDIFFUSE_OK);
        let name = c"emoji32".as_ptr();
        assert_eq!(undiffuse_pipeline_open(gpu, name, &mut pipeline), undiffuse_status::UNDIFFUSE_OK);
        // Far more than will be drawn.
        let options = undiffuse_options { count: 1000, batch: 1, steps: 1000, ..Default::default() };
        assert_eq!(undiffuse_job_start(pipeline, &options, &mut job), undiffuse_status::UNDIFFUSE_OK);
        let job = Shared(job);
        std::thread::scope(|s| {
            let drawing = s.spawn(move || {
                let job = job;
                let status = undiffuse_job_run(job.0, Some(note), null_mut());
                let said = CStr::from_ptr(undiffuse_last_error()).to_str().unwrap().to_string();
                (status, said)
            });
            while !BEGUN.load(Ordering::SeqCst) && !drawing.is_finished() {
                std::thread::yield_now();
            }
            // Questions and the cancel come while the other thread draws.
            let mut progress = undiffuse_progress::default();
            let size = size_of::<undiffuse_progress>();
            assert_eq!(undiffuse_job_progress(job.0, &mut progress, size), undiffuse_status::UNDIFFUSE_OK);
            assert_eq!((progress.count, progress.steps), (1000, 1000));
            assert_eq!(undiffuse_job_cancel(job.0), undiffuse_status::UNDIFFUSE_OK);
            let (status, said) = drawing.join().unwrap();
            assert_eq!(status, undiffuse_status::UNDIFFUSE_CANCELLED);
            assert!(said.contains("of 1000 images drawn; undiffuse_job_pixels gives these"), "{said}");
        });
        assert!(undiffuse_job_image_count(job.0) < 1000);
        undiffuse_job_free(job.0);
        undiffuse_pipeline_free(pipeline);
        undiffuse_gpu_free(gpu);
    }
}
