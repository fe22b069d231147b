//! `include/undiffuse.h` is what cbindgen makes of `src/capi`.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    // In the order of a reader; not mod.rs, whose modules would come in the alphabet's.
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["version", "status", "gpu", "pipeline", "options", "job"] {
        builder = builder.with_src(root.join("src/capi").join(file).with_extension("rs"));
    }
    let mut made = Vec::new();
    builder.generate().expect("a header").write(&mut made);
    let made = String::from_utf8(made).expect("UTF-8");

    let path = root.join("include/undiffuse.h");
    if std::env::var_os("UNDIFFUSE_BLESS").is_some() {
        std::fs::write(&path, &made).expect("the header is written");
    }
    // Git may have given the file other line ends.
    let committed = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let differs = committed.lines().zip(made.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(committed.lines().count().min(made.lines().count())) + 1;
    assert!(
        committed == made,
        "include/undiffuse.h is not what src/capi says, from line {line} on: \
         look at the change, then `UNDIFFUSE_BLESS=1 cargo test --features capi --test capi header`"
    );
}
