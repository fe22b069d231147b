//! What was learnt of an adapter, on disk: variants that are wrong there, and the fastest of
//! each shape. A file for each adapter in a cache folder; it holds for one driver, one set
//! of limits and one set of kernels, and is ignored, then written anew, when any of them
//! has changed.

use super::Gpu;
use crate::kernels::choices::{find, Choices};
use crate::kernels::set_hash;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The version of the file's form.
const FORMAT: u32 = 1;
/// A file of the cache is not longer.
const MOST_BYTES: u64 = 8 << 20;

/// What was measured on an adapter, and what it is good for.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Tuning {
    format: u32,
    /// The adapter's name.
    pub adapter: String,
    /// Its backend.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// What tells the device's features and limits from others.
    pub limits: String,
    /// [`set_hash`] of the kernels that were measured.
    pub kernel_set: String,
    /// What was concluded.
    choices: Choices,
    /// Seconds of every candidate that was measured, by shape and variant.
    pub timings: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Tuning {
    /// Nothing, for a device.
    pub fn of(gpu: &Gpu) -> Tuning {
        let info = gpu.info();
        let caps = crate::kernels::Caps { choices: None, ..gpu.caps() };
        let limits = blake3::hash(format!("{:?} {caps:?}", gpu.limits()).as_bytes()).to_hex();
        Tuning {
            format: FORMAT,
            adapter: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            limits: limits.as_str().to_string(),
            kernel_set: set_hash().into(),
            choices: Choices::default(),
            timings: BTreeMap::new(),
        }
    }

    /// The file of a device in a cache folder.
    pub fn path(folder: &Path, gpu: &Gpu) -> PathBuf {
        let info = gpu.info();
        let name = format!("{} {} {} {:?}", info.name, info.vendor, info.device, info.backend);
        folder.join(format!("tuning-{}.json", &blake3::hash(name.as_bytes()).to_hex()[..16]))
    }

    /// What is known of a device, and a warning where the file could not be used: then
    /// nothing is known, and the next [`Tuning::save`] writes the file whole.
    pub fn load(folder: &Path, gpu: &Gpu) -> (Tuning, Option<String>) {
        let (path, empty) = (Self::path(folder, gpu), Tuning::of(gpu));
        match read(&path, &empty) {
            Ok(found) => (found.unwrap_or(empty), None),
            Err(why) => (empty, Some(format!("{} is not used: {why}", path.display()))),
        }
    }

    /// What plans may look at.
    pub fn choices(&self) -> Choices {
        self.choices.clone()
    }

    /// Takes findings in, by `family/variant`: what is wrong is banned, what is right no
    /// longer is.
    pub fn note(&mut self, findings: &[(String, Option<String>)]) {
        for (name, wrong) in findings {
            match wrong {
                Some(what) => _ = self.choices.banned.insert(name.clone(), what.clone()),
                None => _ = self.choices.banned.remove(name),
            }
        }
    }

    /// Takes measurements of a shape in: seconds by `family/variant`, and the fastest where
    /// it is not the one that is chosen without measuring.
    pub fn learn(&mut self, shape: &str, timings: BTreeMap<String, f64>, fastest: Option<&str>) {
        match fastest {
            Some(name) => _ = self.choices.fastest.insert(shape.into(), name.into()),
            None => _ = self.choices.fastest.remove(shape),
        }
        self.timings.insert(shape.into(), timings);
    }

    /// Writes the file, whole or not at all; returns its place.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn save(&self, folder: &Path, gpu: &Gpu) -> io::Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let path = Self::path(folder, gpu);
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)? + "\n";
        write_whole(&path, text.as_bytes())?;
        Ok(path)
    }
}

/// To a file beside it, then renamed.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = std::fs::File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| std::fs::rename(&part, path));
    if done.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    done
}

/// The bytes of a file that is not longer than `most`; `None` where there is none.
pub(super) fn read_bounded(path: &Path, most: u64) -> Result<Option<Vec<u8>>, String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > most {
        return Err(format!("it is longer than {most} bytes"));
    }
    Ok(Some(bytes))
}

fn read(path: &Path, here: &Tuning) -> Result<Option<Tuning>, String> {
    let Some(bytes) = read_bounded(path, MOST_BYTES)? else { return Ok(None) };
    let found: Tuning = serde_json::from_slice(&bytes).map_err(|e| format!("it is damaged ({e})"))?;
    let fields = [
        ("form", &found.format.to_string(), &here.format.to_string()),
        ("adapter", &found.adapter, &here.adapter),
        ("backend", &found.backend, &here.backend),
        ("driver", &found.driver, &here.driver),
        ("limits", &found.limits, &here.limits),
        ("kernels", &found.kernel_set, &here.kernel_set),
    ];
    if let Some((what, ..)) = fields.iter().find(|(_, was, is)| was != is) {
        return Err(format!("it was measured with other {what}"));
    }
    let names = found.choices.banned.keys().chain(found.choices.fastest.values());
    if let Some(name) = names.into_iter().find(|name| find(name).is_none()) {
        return Err(format!("no kernel `{name}` is known"));
    }
    if found.timings.values().flat_map(BTreeMap::values).any(|s| !s.is_finite() || *s < 0.0) {
        return Err("a time in it is no time".into());
    }
    Ok(Some(found))
}

/// The folder in which files are kept that can be made again: `UNDIFFUSE_CACHE`, else
/// `undiffuse` in the user's cache folder. `None` where that variable is `off`, or where no
/// home is known.
pub fn cache_folder() -> Option<PathBuf> {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(given) = var("UNDIFFUSE_CACHE") {
        return (given.as_os_str() != "off").then_some(given);
    }
    let home = || var("HOME");
    let base = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home().map(|h| h.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").or_else(|| home().map(|h| h.join(".cache")))
    };
    base.map(|b| b.join("undiffuse"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Options;

    #[test]
    fn what_is_saved_comes_back_and_what_is_stale_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = Gpu::open(&Options::default()).unwrap();
        let at = folder.path().join("deep/cache");
        assert_eq!(Tuning::load(&at, &gpu), (Tuning::of(&gpu), None));
        let mut tuning = Tuning::of(&gpu);
        tuning.note(&[("fill/number".into(), Some("element 3".into())), ("fill/slot".into(), None)]);
        let times = [("conv_tile/64x64".to_string(), 2e-3), ("conv_tile/32x64".to_string(), 1e-3)];
        tuning.learn("a shape", times.into(), Some("conv_tile/32x64"));
        let path = tuning.save(&at, &gpu).unwrap();
        let (found, warning) = Tuning::load(&at, &gpu);
        assert_eq!((&found, warning), (&tuning, None));
        assert_eq!(found.choices().fastest["a shape"], "conv_tile/32x64");
        assert_eq!(std::fs::read_dir(&at).unwrap().count(), 1);
        let good = std::fs::read_to_string(&path).unwrap();
        for (bad, says) in [
            (good.replace(set_hash(), "another"), "other kernels"),
            (good.replace(&tuning.driver, "newer"), "other driver"),
            (good.replace(&tuning.limits, "tighter"), "other limits"),
            (good.replace("\"format\": 1", "\"format\": 2"), "other form"),
            (good.replace("fill/number", "fill/gone"), "`fill/gone`"),
            (good.replace("conv_tile/32x64\"\n", "../x\"\n"), "`../x`"),
            (good.replace("0.002", "-1.0"), "no time"),
            (good[..good.len() / 2].to_string(), "damaged"),
            ("\0".repeat(100), "damaged"),
            (String::new(), "damaged"),
            ("[".repeat(100_000), "damaged"),
            ("x".repeat(MOST_BYTES as usize + 1), "longer"),
        ] {
            assert_ne!(bad, good, "{says}");
            std::fs::write(&path, &bad).unwrap();
            let (empty, warning) = Tuning::load(&at, &gpu);
            assert_eq!(empty, Tuning::of(&gpu), "{says}");
            let warning = warning.unwrap_or_default();
            assert!(warning.contains(says) && warning.contains("tuning-"), "{says}: {warning}");
            tuning.save(&at, &gpu).unwrap();
            assert_eq!(Tuning::load(&at, &gpu), (tuning.clone(), None));
        }
        // What is right again is allowed again.
        tuning.note(&[("fill/number".into(), None)]);
        tuning.learn("a shape", BTreeMap::new(), None);
        assert!(tuning.choices().is_empty());
        // A folder that is a file.
        assert!(tuning.save(&path, &gpu).is_err());
    }
}
