//! Feature networks against PyTorch, on pictures made by a formula: `tests/metrics/networks.py` printed the
//! numbers.

use std::path::Path;
use std::sync::Arc;
use undiffuse::engine::evaluate;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::graph::{passes, Graph};
use undiffuse::models::features::{FeatureNet, FEATURES, LOGITS, PICTURE};
use undiffuse::models::inception::Inception;
use undiffuse::pipeline::{Extractor, FeatureModel, Pictures};
use undiffuse::shape::Shape;
use undiffuse::weights::Deterministic;

/// A picture's levels.
fn levels(i: usize, shape: Shape) -> Vec<u8> {
    let one = |at: usize| {
        let (c, x, y) = (at % shape.c, at / shape.c % shape.w, at / shape.c / shape.w);
        ((x * y * (i + 3) + 7 * i * x + 11 * y + 29 * c) % 256) as u8
    };
    (0..shape.len()).map(one).collect()
}

#[track_caller]
fn near(found: &[f32], wanted: &[f32], within: f32) {
    let largest = wanted.iter().fold(0f32, |m, v| m.max(v.abs()));
    for (f, w) in found.iter().zip(wanted) {
        assert!((f - w).abs() <= within * largest, "{found:?} is not {wanted:?}");
    }
}

/// The shipped classifier, features and logits, in batches whole and not.
#[test]
fn the_classifier_is_pytorchs() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fashion-classifier");
    let model = FeatureModel::find(folder.to_str().unwrap()).unwrap();
    let about = model.describe();
    assert_eq!((about.called.as_str(), about.width, about.logits), ("fashion-classifier", 64, 10));
    assert_eq!(about.classes[9], "Ankle boot");
    let net = Extractor::new(&gpu, model).unwrap();
    let shape = Shape::new(32, 32, 1);
    let both: Vec<u8> = (0..2).flat_map(|i| levels(i, shape)).collect();
    let seen = net.look("two", Pictures { levels: &both, shape }, |_, _| {}).unwrap();
    let (a, b) = (seen.features.row(0), seen.features.row(1));
    near(
        &a[..8],
        &[0.006365257, 0.5151299, 2.446129, 0.2270313, -0.03988614, 0.02007602, 1.169231, 2.891548],
        1e-5,
    );
    near(
        &b[..8],
        &[0.008964799, 0.6391304, 3.255053, -0.05231451, -0.05367114, 0.002771704, 1.663069, 2.055423],
        1e-5,
    );
    #[rustfmt::skip]
    let logits = [
        -1.646999, -1.724965, -1.279721, -5.88369, -7.134436, -3.72684, -8.074024, -1.603507, 2.036503, -1.827205,
        0.6644551, -3.307328, 1.602785, -4.908959, -5.175511, -4.572585, -4.531323, -2.020224, 2.138523, -4.221247,
    ];
    near(&seen.logits, &logits, 1e-5);
    assert_eq!(seen.classes(), [8, 8]);
    let odds: f64 = logits[..10].iter().map(|v: &f32| f64::from(v - 2.036503).exp()).sum();
    assert!((seen.confidence()[0] - 1.0 / odds).abs() < 1e-5);
    // Colours that are grey are grey; who stands beside a picture changes nothing.
    let grey: Vec<u8> = levels(1, shape).iter().flat_map(|v| [*v; 3]).collect();
    let pictures = Pictures { levels: &grey, shape: Shape::new(32, 32, 3) };
    let alone = net.look("one", pictures, |_, _| {}).unwrap();
    assert_eq!(alone.features.row(0), b);
    let wrong = Pictures { levels: &grey, shape: Shape::new(96, 32, 1) };
    assert!(net
        .look("one", wrong, |_, _| {})
        .unwrap_err()
        .to_string()
        .contains("32 x 32, these are 32 x 96"));
}

/// Inception-v3 in its FID variant: the resize, every block, features and logits.
#[test]
fn inception_is_that_of_torch_fidelity() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let shape = Shape::new(37, 45, 3);
    let picture = Inception.prepare(&levels(1, shape), shape).unwrap();
    let mut graph = Graph::new();
    Inception.build(&Deterministic, &mut graph).unwrap();
    let names = ["64", "192", "768", FEATURES, LOGITS];
    let found = evaluate(&gpu, &passes::run(&graph), 1, &[(PICTURE, &picture)], &names).unwrap();
    let wanted = [
        [0.4283249, 0.4626854, 0.06031761, 0.4872776, 0.5835525, 0.01065937],
        [0.0008190391, 0.2707739, 0.0220231, 0.4913676, 0.03084634, 0.6007724],
        [0.1915399, 0.01411277, 0.03022934, 0.02955433, 0.09640565, 0.0],
        [0.0, 0.0, 0.02691366, 0.0001176795, 0.04650538, 0.2166244],
        [-0.0636324, -0.02912729, -0.1384567, -0.09231031, -0.1138868, 0.121787],
    ];
    for (found, wanted) in found.iter().zip(&wanted) {
        near(&found[..6], wanted, 2e-5);
    }
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [64, 192, 768, 2048, 1008]);
    // Its size is its own; grey is a colour.
    assert_eq!(Inception.prepare(&[7; 6], Shape::new(2, 3, 1)).unwrap()[..3], [(7.0 - 128.0) / 128.0; 3]);
    let model = FeatureModel::inception(Arc::new(Deterministic)).unwrap();
    assert_eq!((model.describe().width, model.describe().classes.len()), (2048, 0));
}
