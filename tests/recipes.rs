//! Recipes of published checkpoints: each opens, and the networks have as many parameters as
//! the authors' code.

use undiffuse::pipeline::Recipe;

#[test]
fn parameters_are_as_many_as_published() {
    let (mut counted, mut wrong) = (0, Vec::new());
    for recipe in Recipe::all().unwrap() {
        let found = recipe.count_parameters().unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
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
