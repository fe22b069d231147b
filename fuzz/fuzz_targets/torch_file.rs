//! Any bytes are an error or tensors: `cargo +nightly fuzz run torch_file -- -rss_limit_mb=512`, from
//! the files in `tests/data/torch` (`fuzz/corpus/torch_file` is a good place for copies of them).
#![no_main]

use libfuzzer_sys::fuzz_target;
use undiffuse::weights::{TorchFile, Weights};

fuzz_target!(|bytes: &[u8]| {
    for ema in [false, true] {
        let Ok(file) = TorchFile::from_bytes("fuzzed.pth", bytes.to_vec(), ema) else { continue };
        for name in file.names() {
            let shape = file.summary(&name).map(|s| s.1.to_vec()).unwrap_or_default();
            if let Ok(param) = file.get(&name, &shape) {
                let _ = param.to_f32();
            }
        }
    }
});
