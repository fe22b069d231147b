//! A driver that lies: `examine` finds the variant that is wrong, and plans pass it over.

use super::harness::rig;
use undiffuse::engine::doctor::examine;
use undiffuse::kernels::check::{bits, compare, data, Case};
use undiffuse::kernels::{Call, Kernel, Needs, Reference, Variant};

/// Doubles numbers; one variant misses, in the eighth lane only.
static DOUBLE: Kernel = Kernel {
    name: "double",
    check: double,
    source: "
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> dst: array<f32>;
struct P { groups: u32, base: u32, n: u32 }
@group(0) @binding(2) var<uniform> p: P;
#include \"dispatch.wgsl\"

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 8u + lane;
  if (group >= p.groups || i >= p.n) {
    return;
  }
#if LIES
  dst[i] = select(2.0, 1.999, lane == 7u) * a[i];
#else
  dst[i] = 2.0 * a[i];
#endif
}
",
    variants: &[
        Variant { name: "lying", defines: &[("LIES", 1)], needs: Needs::NONE },
        Variant { name: "true", defines: &[("LIES", 0)], needs: Needs::NONE },
        Variant {
            name: "elsewhere",
            defines: &[("LIES", 1)],
            needs: Needs { subgroup: Some(1021), int64: true },
        },
    ],
};

fn call(n: usize, v: &'static Variant) -> Call<usize> {
    let groups = n.div_ceil(8) as u64;
    let bindings = vec![("a", 0), ("dst", 1)];
    Call { kernel: &DOUBLE, variant: v, bindings, params: vec![("n", n.into())], groups }
}

fn double(case: &mut Case<'_>) -> Result<(), String> {
    let (n, v, seed) = (case.of(8..100), case.of(0..2), case.word());
    let a: Vec<f32> = data(seed, n).iter().map(|v| v + 9.0).collect();
    let mut arrays = vec![bits(&a), vec![0; n]];
    case.run(&[call(n, &DOUBLE.variants[v])], &mut arrays)?;
    let mut want = Reference::default();
    a.iter().for_each(|a| want.push(2.0 * f64::from(*a), 2.0 * f64::from(a.abs())));
    compare(&arrays[1], &want, 1e-6)
}

#[test]
fn a_wrong_variant_is_found_and_passed_over() {
    let gpu = &rig().gpu;
    let mut told = Vec::new();
    let findings = examine(gpu, &[&DOUBLE], 12, |name| {
        told.push(name.to_string());
        true
    });
    let findings = findings.expect("a device");
    assert_eq!(told, ["double"]);
    let verdicts: Vec<_> = findings.iter().map(|f| (f.name.as_str(), f.verdict())).collect();
    let wanted = [("double/lying", "WRONG"), ("double/true", "right"), ("double/elsewhere", "not here")];
    assert_eq!(verdicts, wanted);
    assert!(findings[0].wrong.as_ref().is_some_and(|w| w.contains("element 7")), "{:?}", findings[0]);
    assert!(findings[2].lacks.as_ref().is_some_and(|w| w == "subgroups of 1021, 64-bit integers"));
    // Planned with what was found, the other variant is taken; on this device alone.
    assert_eq!(DOUBLE.pick(&gpu.caps(), |_| true).map(|v| v.name), Some("lying"));
    let mut tuning = undiffuse::gpu::Tuning::of(gpu);
    tuning.note(&findings.iter().map(|f| (f.name.clone(), f.wrong.clone())).collect::<Vec<_>>());
    let own = gpu.with_choices(tuning.choices());
    assert_eq!(DOUBLE.pick(&own.caps(), |_| true).map(|v| v.name), Some("true"));
    assert_eq!(DOUBLE.pick(&gpu.caps(), |_| true).map(|v| v.name), Some("lying"));
}
