//! From a name to a model's files: folders, the Hugging Face cache, the zoo.

#[path = "support/model_folder.rs"]
mod model_folder;

use model_folder::{put, Model as Written};
use std::path::{Path, PathBuf};
use undiffuse::pipeline::find::{Found, Places};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn found(places: &Places, name: &str) -> PathBuf {
    match places.find(name).unwrap() {
        Found::Folder(path) => path,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(places: &Places, name: &str, words: &[&str]) {
    let text = places.find(name).map(|_| ()).unwrap_err().to_string();
    for word in words {
        assert!(text.contains(word), "no `{word}` in: {text}");
    }
}

fn hub(folder: &Path) -> Places {
    Places { hub: Some(folder.to_path_buf()), zoo: None }
}

#[test]
fn the_cache_leads_to_the_snapshot_that_main_names() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--google--ddpm-tiny");
    let snapshot = repository.join("snapshots").join(COMMIT);
    Written::tiny().write(&snapshot);
    put(&repository, "refs/main", format!("{COMMIT}\n").as_bytes());
    assert_eq!(found(&hub(dir.path()), "google/ddpm-tiny"), snapshot);
}

/// The cache's snapshots are links to its blobs.
#[cfg(unix)]
#[test]
fn links_in_a_snapshot_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--o--n");
    let snapshot = repository.join("snapshots").join(COMMIT);
    let real = Written::tiny().write(&dir.path().join("blobs"));
    std::fs::create_dir_all(snapshot.join("unet")).unwrap();
    for file in ["unet/config.json", "unet/diffusion_pytorch_model.safetensors"] {
        std::os::unix::fs::symlink(real.join(file), snapshot.join(file)).unwrap();
    }
    put(&repository, "refs/main", COMMIT.as_bytes());
    undiffuse::pipeline::Model::open(found(&hub(dir.path()), "o/n")).unwrap();
}

#[test]
fn what_is_not_cached_gives_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().display().to_string();
    refused(&hub(dir.path()), "google/ddpm-x", &["google/ddpm-x", &cache, "hf download google/ddpm-x"]);
    refused(&Places::default(), "google/ddpm-x", &["HOME", "hf download google/ddpm-x"]);
}

#[test]
fn a_damaged_cache_says_which_file_and_what_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("models--o--n");
    std::fs::create_dir_all(&repository).unwrap();
    let places = hub(dir.path());
    refused(&places, "o/n", &["refs/main", "no such file", "hf download o/n"]);
    for (bytes, says) in [
        (&b""[..], "name of a commit"),
        (b"../../../etc", "name of a commit"),
        (b"main", "name of a commit"),
        (&[b'a'; 100], "name of a commit"),
        (&[b'a'; 300], "300 bytes"),
        (&[0xff, 0xfe], "UTF-8"),
        (COMMIT.as_bytes(), "no such folder"),
    ] {
        put(&repository, "refs/main", bytes);
        refused(&places, "o/n", &[says, "models--o--n", "hf download o/n"]);
    }
}

#[test]
fn names_lead_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let places = Places { hub: Some(dir.path().into()), zoo: Some(dir.path().into()) };
    for name in ["o/..", "-o/n", "o/a b", "o/a--b", ".o/n", "zoo/..", "zoo/.hidden", "o/n\u{0}"] {
        refused(&places, name, &["is not the name of a model"]);
    }
    refused(&places, "word", &["no embedded model `word`"]);
    // These are paths: whoever opens them says that nothing is there.
    for path in ["./a", "../a/b", "/no/where", "a/b/c", "a.safetensors"] {
        assert_eq!(found(&places, path), Path::new(path));
    }
}

#[test]
fn a_folder_that_is_there_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("o/n");
    std::fs::create_dir_all(&folder).unwrap();
    assert_eq!(found(&Places::default(), folder.to_str().unwrap()), folder);
    // Tests run in the package's folder.
    assert_eq!(found(&Places::default(), "models/emoji32"), Path::new("models/emoji32"));
}

#[test]
fn the_zoo_lists_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let places = Places { hub: None, zoo: Some(dir.path().into()) };
    refused(&places, "zoo/a", &["zoo/a", "no model is there"]);
    Written::with_classes().write(&dir.path().join("classes"));
    put(&dir.path().join("judge"), "config.json", br#"{"_class_name": "ResNetClassifier"}"#);
    put(&dir.path().join("broken"), "config.json", b"{");
    put(&dir.path().join("notes"), "README.md", b"no model");
    assert_eq!(found(&places, "zoo/classes"), dir.path().join("classes"));
    refused(&places, "zoo/a", &["there are broken, classes, judge"]);
    refused(&Places::default(), "zoo/a", &["UNDIFFUSE_ZOO"]);
    let gone = Places { zoo: Some(dir.path().join("gone")), hub: None };
    refused(&gone, "zoo/a", &["gone", "no folder"]);

    let models = places.zoo_models();
    let [broken, classes, judge] = &models[..] else { panic!("{models:?}") };
    assert_eq!(classes.kind.as_deref(), Some("UNet2DModel"));
    assert_eq!((classes.about.as_str(), &classes.not_sampled), ("8 x 8, 3 channels, 3 classes", &None));
    assert!(classes.parameters.is_some_and(|p| p > 10_000));
    assert_eq!(judge.kind.as_deref(), Some("ResNetClassifier"));
    assert_eq!(broken.kind, None);
    assert!(broken.not_sampled.is_some() && judge.not_sampled.is_some());
}

#[cfg(feature = "emoji32")]
#[test]
fn embedded_names_come_before_all() {
    assert!(matches!(Places::default().find("emoji32"), Ok(Found::Embedded(m)) if m.name == "emoji32"));
}
