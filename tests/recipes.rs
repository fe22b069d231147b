//! Recipes of published checkpoints: each opens, and the networks have as many parameters as
//! the authors' code.

use std::collections::BTreeMap;
use undiffuse::graph::Graph;
use undiffuse::models::{self, Part};
use undiffuse::pipeline::Recipe;
use undiffuse::weights::{Deterministic, Recorder};

/// Numbers in the tensors that training moves, of all networks of a model.
fn parameters(recipe: &Recipe) -> u64 {
    let model = models::open(&recipe.json(), None).unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
    let recorder = Recorder::new(&Deterministic);
    model.build(&recorder, &mut Graph::new()).unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
    model
        .part(Part::Decoder, &recorder, &mut Graph::new())
        .unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
    let _ = model.part(Part::Encoder, &recorder, &mut Graph::new());
    let named: BTreeMap<String, Vec<usize>> = recorder.asked().into_iter().collect();
    let trained = named.iter().filter(|(name, _)| !name.contains("running_"));
    trained.map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
}

#[test]
fn parameters_are_as_many_as_published() {
    let (mut counted, mut wrong) = (0, Vec::new());
    for recipe in Recipe::all().unwrap() {
        let found = parameters(&recipe);
        if let Some(published) = recipe.parameters {
            counted += 1;
            if published != found {
                wrong.push(format!("{}: {found}, published {published}", recipe.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(counted >= 14, "{counted}");
}

#[test]
fn a_wrong_name_lists_all() {
    let error = Recipe::find("score_sde/nothing").unwrap_err().to_string();
    assert!(error.contains("ddgan/cifar10") && error.contains("lsgm/mnist"), "{error}");
}
