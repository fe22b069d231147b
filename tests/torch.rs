//! Checkpoints of PyTorch: what is read equals what PyTorch reads, damaged files are errors, and
//! files that want to run something are refused.

#[path = "support/command.rs"]
mod command;
#[path = "support/counting.rs"]
mod counting;

use counting::counted;
use std::path::{Path, PathBuf};
use undiffuse::weights::{TorchFile, Weights};

#[global_allocator]
static COUNTING: counting::Counting = counting::Counting;

/// What refusing a file may take.
const LIMIT: usize = 64 << 20;

/// Numbers for mutations: splitmix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch")
}

fn expected() -> serde_json::Map<String, serde_json::Value> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn tensors_equal_pytorchs() {
    for (file, wanted) in expected() {
        for (ema, rows) in [(false, &wanted["plain"]), (true, &wanted["ema"])] {
            let opened = TorchFile::open(&folder().join(&file), ema);
            let Some(rows) = rows.as_array() else {
                let text = opened.unwrap_err().to_string();
                assert!(text.contains("no moving average"), "{file}: {text}");
                continue;
            };
            let opened = opened.unwrap_or_else(|e| panic!("{file}: {e}"));
            assert_eq!(opened.names().len(), rows.len(), "{file}: {:?}", opened.names());
            for row in rows {
                let name = row[0].as_str().unwrap();
                let (number, shape, summary) =
                    opened.summary(name).unwrap_or_else(|| panic!("{file}: {name}"));
                assert_eq!(number.name(), row[1].as_str().unwrap(), "{file}: {name}");
                assert_eq!(serde_json::json!(shape), row[2], "{file}: {name}");
                for (got, want) in
                    [summary.min, summary.max, summary.mean].into_iter().zip(&row.as_array().unwrap()[3..])
                {
                    let want = want.as_f64().unwrap();
                    assert!(
                        (got - want).abs() <= 1e-12 * want.abs().max(1.0),
                        "{file}: {name}: {got}, {want}"
                    );
                }
                let numbers = opened.get(name, shape).unwrap().to_f32().unwrap();
                let mean = numbers.iter().map(|v| f64::from(*v)).sum::<f64>() / numbers.len().max(1) as f64;
                assert!((mean - summary.mean).abs() < 1e-6 * summary.mean.abs().max(1.0), "{file}: {name}");
            }
        }
    }
}

#[test]
fn strides_are_followed() {
    let file = TorchFile::open(&folder().join("types_zip.pth"), false).unwrap();
    let base = file.get("base", &[6, 4]).unwrap().to_f32().unwrap();
    let transposed = file.get("transposed", &[4, 6]).unwrap().to_f32().unwrap();
    for i in 0..24 {
        assert_eq!(transposed[i % 4 * 6 + i / 4], base[i]);
    }
    let step = file.get("step", &[3, 2]).unwrap().to_f32().unwrap();
    assert_eq!(step, [base[1], base[2], base[9], base[10], base[17], base[18]]);
    let missing = file.get("bases", &[6, 4]).unwrap_err().to_string();
    assert!(missing.contains("`base`"), "{missing}");
    assert!(file.get("base", &[4, 6]).unwrap_err().to_string().contains("[6, 4]"));
}

/// A zip whose data.pkl is this.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("archive/data.pkl", pickle), ("archive/data/0", &[0u8; 16][..])] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The program refuses the file too, in an address space of no more than [`LIMIT`].
#[track_caller]
#[cfg(target_os = "linux")]
fn limited(bytes: &[u8], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evil.pth");
    std::fs::write(&path, bytes).unwrap();
    let run = format!("ulimit -v {}; exec \"$0\" inspect \"$1\" --tensors", LIMIT >> 10);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &run, env!("CARGO_BIN_EXE_undiffuse")]).arg(&path);
    command::finish(&mut shell).refused(words);
}

#[cfg(not(target_os = "linux"))]
fn limited(_: &[u8], _: &[&str]) {}

#[track_caller]
fn refused(bytes: Vec<u8>, words: &[&str]) {
    limited(&bytes, words);
    let opened = counted(|| TorchFile::from_bytes("evil.pth", bytes, false));
    let error = opened.0.unwrap_err().to_string();
    assert!(opened.1.peak < LIMIT, "{:?}: {error}", opened.1);
    assert!(words.iter().all(|w| error.contains(w)), "{error}");
    assert!(error.starts_with("evil.pth: "), "{error}");
}

#[test]
fn what_would_run_is_refused_by_name_and_place() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("__builtin__", "eval"),
        ("builtins", "exec"),
        ("torch.hub", "load"),
    ] {
        let pickle = format!("\u{2}c{module}\n{name}\nX\u{4}\0\0\0evil\u{85}R.").into_bytes();
        let mut bytes = vec![0x80];
        bytes.extend(pickle.iter().filter(|b| **b != 0xc2));
        refused(zipped(&bytes), &[&format!("`{module}.{name}`"), "offset 2 "]);
    }
    // The same by protocol 4.
    refused(zipped(b"\x80\x04\x8c\x02os\x8c\x06system\x93."), &["`os.system`"]);
    // Opcodes of older protocols that build instances.
    refused(zipped(b"\x80\x02(ios\nsystem\n."), &["opcode 0x69"]);
}

#[test]
fn malice_is_refused_with_its_reason() {
    let tensor = |count: u8, size: u8, offset: u8| {
        let mut p = b"\x80\x02}X\x01\x00\x00\x00a".to_vec();
        p.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK");
        p.push(count);
        p.extend(b"tQK");
        p.push(offset);
        p.extend([b'K', size, 0x85, b'K', 1, 0x85, 0x89]);
        p.extend(b"ccollections\nOrderedDict\n)RtRs.");
        p
    };
    assert!(TorchFile::from_bytes("good.pth", zipped(&tensor(4, 4, 0)), false).is_ok());
    refused(zipped(&tensor(200, 4, 0)), &["storage `0` should hold 200 numbers"]);
    refused(zipped(&tensor(4, 5, 0)), &["reaches past its storage `0`"]);
    refused(zipped(&tensor(4, 4, 1)), &["reaches past its storage `0`"]);
    // A list that holds itself, as an entry of the dictionary that holds itself.
    refused(zipped(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."), &["within itself"]);
    refused(zipped(b"\x80\x02]q\x00h\x00a."), &["no tensors"]);
    refused(zipped(b"\x80\x02\x8b\xff\xff\xff\x7f."), &["an integer of 2147483647 bytes"]);
    refused(zipped(b"\x80\x02X\xff\xff\xff\xff."), &["bytes are announced"]);
    refused(zipped(b"\x80\x02h\x07."), &["entry 7 of the memo"]);
    refused(zipped(b"\x80\x020."), &["not there"]);
    // A tuple of itself twice, again and again: 2^n values if it were written out.
    let mut doubling = b"\x80\x02N".to_vec();
    doubling.extend(b"2\x86".repeat(200_000));
    doubling.push(b'.');
    refused(zipped(&doubling), &["builds more than an honest file"]);
    refused(b"not a checkpoint".to_vec(), &["neither a zip nor a pickle"]);
    refused(b"\x80\x02N.".to_vec(), &["torch.save did not write"]);
}

#[test]
fn zips_that_lie_are_refused() {
    let good = std::fs::read(folder().join("ddgan_zip.pth")).unwrap();
    let directory = |bytes: &[u8]| bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let mut compressed = good.clone();
    let at = directory(&good);
    compressed[at + 10] = 8;
    refused(compressed, &["is compressed"]);
    let mut bomb = good.clone();
    bomb[at + 24..at + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    refused(bomb, &["is compressed", "2147483647"]);
    let mut long = good.clone();
    for field in [20, 24] {
        long[at + field..at + field + 4].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    }
    refused(long, &["claims 2147483647 bytes"]);
    let mut path = good.clone();
    path[at + 46..at + 49].copy_from_slice(b"../");
    refused(path, &["no name within it"]);
    let mut overlap = good.clone();
    let second = at + 4 + directory(&good[at + 4..]);
    let offset: [u8; 4] = overlap[at + 42..at + 46].try_into().unwrap();
    overlap[second + 42..second + 46].copy_from_slice(&offset);
    refused(overlap, &["overlap"]);
    refused(good[..good.len() - 30].to_vec(), &["zip"]);
}

#[test]
fn tars_that_lie_are_refused() {
    let good = std::fs::read(folder().join("types_tar.pth")).unwrap();
    // The bytes of a header's field, and the header's sum set right again.
    let with = |name: &str, at: usize, field: &[u8]| {
        let mut bytes = good.clone();
        let head = (0..bytes.len()).step_by(512).find(|i| bytes[*i..].starts_with(name.as_bytes())).unwrap();
        bytes[head + at..head + at + field.len()].copy_from_slice(field);
        bytes[head + 148..head + 156].fill(b' ');
        let sum: usize = bytes[head..head + 512].iter().map(|b| usize::from(*b)).sum();
        bytes[head + 148..head + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    assert!(TorchFile::from_bytes("good.pth", with("pickle", 100, b"0000644\0"), false).is_ok());
    refused(with("pickle", 124, b"77777777777\0"), &["`pickle` in the tar reaches past its end"]);
    refused(with("pickle", 124, b"nonsense\0\0\0\0"), &["`pickle` in the tar reaches past its end"]);
    refused(with("tensors", 0, b"nothing"), &["a tar without `tensors`"]);
    refused(with("tensors", 0, b"pickle\0"), &["`pickle` is in the tar twice"]);
    let mut torn = good.clone();
    torn[3] ^= 1;
    refused(torn, &["the tar is damaged at 0"]);
    let replaced = |name: &str, from: &[u8], to: &[u8]| {
        let mut bytes = good.clone();
        let head = (0..bytes.len()).step_by(512).find(|i| bytes[*i..].starts_with(name.as_bytes())).unwrap();
        let at = head + bytes[head..].windows(from.len()).position(|w| w == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    refused(
        replaced("storages", b"ctorch\nFloatStorage", b"cposix\nsystemmmmmmm"),
        &["`posix.systemmmmmmm`"],
    );
    // The count of dimensions behind the first tensor's pickle, then its first size.
    let geometry = b"ctorch\nFloatTensor\n\x87.\x02\0\0\0\0\0\0\0";
    let mut many = geometry.to_vec();
    many[geometry.len() - 8] = 200;
    refused(replaced("tensors", geometry, &many), &["`tensors` in the tar", "200 dimensions"]);
    let mut long = geometry.to_vec();
    long.extend(1000u64.to_le_bytes());
    refused(replaced("tensors", geometry, &long), &["`tensors` in the tar", "reaches past its storage"]);
}

/// What lists of nodes and texts of errors may take of small files, as those here all are.
const LEAST: usize = 64 << 10;

/// No mutation of a good file panics, or makes the reader ask for more at once than twice the file (of a
/// small one: [`LEAST`]); what opens can be read. `UNDIFFUSE_MUTATIONS` says how many.
#[test]
fn mutations_are_errors_or_tensors() {
    let count: usize = std::env::var("UNDIFFUSE_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let files: Vec<Vec<u8>> = expected().keys().map(|f| std::fs::read(folder().join(f)).unwrap()).collect();
    let mut rng = Draw(1);
    let (mut opened, mut largest, mut peak) = (0, 0, 0);
    for i in 0..count {
        let mut bytes = files[i % files.len()].clone();
        // Mutations of the pickle reach further than those of numbers: most of a small file is pickle.
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len());
            match rng.below(5) {
                0 => bytes[at] = rng.below(256) as u8,
                1 => bytes[at] ^= 1 << rng.below(8),
                2 => bytes.truncate(at.max(1)),
                3 => {
                    let from = rng.below(bytes.len());
                    let len = rng.below(16).min(bytes.len() - at.max(from));
                    bytes.copy_within(from..from + len, at);
                }
                _ => bytes[at] = [0xff, 0, b'.', b'R', b'(', b'c', 0x8b, b'X'][rng.below(8)],
            }
        }
        let len = bytes.len();
        let (opens, took) = counted(|| {
            let Ok(file) = TorchFile::from_bytes("mutated.pth", bytes, i % 2 == 0) else { return false };
            for name in file.names() {
                let shape = file.summary(&name).map(|s| s.1.to_vec()).unwrap_or_default();
                if let Ok(param) = file.get(&name, &shape) {
                    let _ = param.to_f32();
                }
            }
            true
        });
        opened += usize::from(opens);
        (largest, peak) = (largest.max(took.largest), peak.max(took.peak));
        assert!(took.largest <= LEAST.max(2 * len), "mutation {i} of {len} bytes: {took:?}");
        assert!(took.peak < LIMIT, "mutation {i} of {len} bytes: {took:?}");
    }
    println!("the largest allocation {largest} bytes, at once {peak}");
    assert!(opened > count / 20, "only {opened} of {count} opened");
}

#[test]
fn inspect_lists_tensors() {
    let path = folder().join("score_sde_zip.pth");
    let ran = command::run(&["inspect", path.to_str().unwrap(), "--tensors", "--ema", "--json"]);
    let json: serde_json::Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {}", ran.stderr));
    let wanted = &expected()["score_sde_zip.pth"]["ema"];
    let (tensors, wanted) = (json["tensors"].as_array().unwrap(), wanted.as_array().unwrap());
    assert_eq!(tensors.len(), wanted.len());
    for (got, want) in tensors.iter().zip(wanted) {
        assert_eq!((&got["name"], &got["dtype"], &got["shape"]), (&want[0], &want[1], &want[2]));
        assert!((got["mean"].as_f64().unwrap() - want[5].as_f64().unwrap()).abs() < 1e-12);
    }
    let ran = command::run(&["inspect", path.to_str().unwrap(), "--tensors"]);
    assert!(ran.stdout.contains("all_modules.2.NIN_0.W") && ran.stdout.contains("F64"), "{}", ran.stdout);
}
