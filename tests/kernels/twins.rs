//! Every kernel, every variant that the adapter here meets, against its twin.

use super::harness::rig;
use undiffuse::engine::doctor::examine;
use undiffuse::kernels::{Kernel, ALL};

/// Cases of a kernel, each with every set of capabilities; `UNDIFFUSE_CASES=1000` for more.
fn cases() -> u64 {
    std::env::var("UNDIFFUSE_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(70)
}

/// Each of four tests takes every fourth kernel.
fn quarter(i: usize) {
    let kernels: Vec<&'static Kernel> = ALL.iter().skip(i).step_by(4).copied().collect();
    let findings = examine(&rig().gpu, &kernels, cases(), |_| true).expect("a device");
    let mut bad = Vec::new();
    for f in findings {
        if !matches!(f.verdict(), "right" | "not here") {
            bad.push(format!("{}: {} {}", f.name, f.verdict(), f.wrong.unwrap_or_default()));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn first_quarter() {
    quarter(0);
}

#[test]
fn second_quarter() {
    quarter(1);
}

#[test]
fn third_quarter() {
    quarter(2);
}

#[test]
fn fourth_quarter() {
    quarter(3);
}
