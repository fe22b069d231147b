//! What to draw, as a struct that can grow.

use super::arguments::{optional_text, write_struct};
use super::status::{guard, undiffuse_status, Failure};
use crate::diffusion::sampler::Sampler;
use crate::pipeline::{Class, Outputs, Sample};
use std::ffi::c_char;
use std::ptr::null;

/// What to draw, and how. Always begin with undiffuse_options_default; later versions add
/// members at the end, and a program that does not know them gets their defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct undiffuse_options {
    /// sizeof(undiffuse_options), by which the library knows the program's version.
    pub size: u32,
    /// Steps of the sampler; 0 takes its default.
    pub steps: u32,
    /// How many images: 1 or more.
    pub count: u64,
    /// Images at once; 0 takes what fits.
    pub batch: u64,
    /// The index of the first image: an image is a function of model, sampler, seed and
    /// index alone, whatever the batch.
    pub first_index: u64,
    /// The seed of all noise.
    pub seed: u64,
    /// "ddim", "ddpm"; NULL is "ddim". Read during undiffuse_job_start only.
    pub sampler: *const c_char,
    /// A class by name, by the beginning of its name or by number, "all" for each in turn,
    /// "none" for the empty class; NULL is whatever the model draws. Read during
    /// undiffuse_job_start only.
    pub class_name: *const c_char,
    /// The scale of classifier-free guidance; 1 is none.
    pub guidance_scale: f64,
    /// DDIM's stochasticity, 0 to 1; NaN takes the sampler's default.
    pub eta: f64,
}

/// The size of the struct in its first version, which is the least.
const FIRST: usize = 56 + 2 * size_of::<*const c_char>();
/// More than the struct will ever have: a size above it was never set.
const MOST: usize = 4096;

impl Default for undiffuse_options {
    fn default() -> Self {
        let s = Sample::default();
        undiffuse_options {
            size: size_of::<undiffuse_options>() as u32,
            steps: 0,
            count: s.count as u64,
            batch: 0,
            first_index: s.first_index,
            seed: s.seed,
            sampler: null(),
            class_name: null(),
            guidance_scale: s.guidance_scale,
            eta: f64::NAN,
        }
    }
}

/// Sets everything to its default. `size` is sizeof(undiffuse_options):
///     undiffuse_options o;
///     undiffuse_options_default(&o, sizeof o);
#[no_mangle]
pub unsafe extern "C" fn undiffuse_options_default(
    options: *mut undiffuse_options,
    size: usize,
) -> undiffuse_status {
    guard(|| {
        if options.is_null() {
            return Err(Failure::argument("options is NULL"));
        }
        check(size)?;
        let value = undiffuse_options { size: size as u32, ..Default::default() };
        // SAFETY: not NULL, and by the contract `size` bytes large; no padding (see `FIRST`).
        unsafe { write_struct(&value, options, size) };
        Ok(undiffuse_status::UNDIFFUSE_OK)
    })
}

fn check(size: usize) -> Result<(), Failure> {
    if (FIRST..=MOST).contains(&size) {
        return Ok(());
    }
    Err(Failure::argument(format!(
        "undiffuse_options has size {size}, wanted {} (at least {FIRST}): \
         begin with undiffuse_options_default(&options, sizeof options)",
        size_of::<undiffuse_options>()
    )))
}

impl undiffuse_options {
    /// Copies the struct of a program that may know fewer members than we do, or more.
    ///
    /// # Safety
    /// `from` is not NULL and has the size that its first member says.
    pub(super) unsafe fn read(from: *const undiffuse_options) -> Result<undiffuse_options, Failure> {
        // SAFETY: a struct of any version begins with its size.
        let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
        check(size)?;
        let ours = size_of::<undiffuse_options>();
        let mut options = undiffuse_options::default();
        // SAFETY: `from` has `size` bytes; any bits are a value of each member.
        let rest = unsafe {
            let bytes = from.cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes, (&raw mut options).cast::<u8>(), size.min(ours));
            std::slice::from_raw_parts(bytes.add(size.min(ours)), size.saturating_sub(ours))
        };
        match rest.iter().all(|&b| b == 0) {
            true => Ok(options),
            false => Err(Failure::argument(
                "undiffuse_options sets a member that this version of the library does not know: \
                 use a newer library, or leave it as undiffuse_options_default set it",
            )),
        }
    }

    /// The same for Rust.
    ///
    /// # Safety
    /// Texts are NULL or end with 0.
    pub(super) unsafe fn sample(&self) -> Result<Sample, Failure> {
        let number = |name: &str, n: u64| {
            usize::try_from(n).map_err(|_| Failure::argument(format!("{name} = {n} is too large")))
        };
        // SAFETY: the caller's promise.
        let (sampler, class) = unsafe {
            (optional_text("sampler", self.sampler)?, optional_text("class_name", self.class_name)?)
        };
        let sampler = match sampler {
            None => Sample::default().sampler,
            Some(name) => name.parse::<Sampler>().map_err(crate::pipeline::PipelineError::from)?,
        };
        let class = match class.map(str::parse::<Class>) {
            Some(Ok(class)) => class,
            None => Class::Auto,
            Some(Err(never)) => match never {},
        };
        Ok(Sample {
            count: number("count", self.count)?,
            first_index: self.first_index,
            batch: (self.batch > 0).then(|| number("batch", self.batch)).transpose()?,
            sampler,
            steps: (self.steps > 0).then_some(self.steps as usize),
            eta: (!self.eta.is_nan()).then_some(self.eta),
            class,
            guidance_scale: self.guidance_scale,
            seed: self.seed,
            // Pixels are all that this interface hands out.
            outputs: Outputs { images: true, ..Outputs::none() },
            ..Sample::default()
        })
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    #[test]
    fn no_padding_and_the_first_version_is_known() {
        // Members of 4 and 8 bytes, in pairs: the sum of their sizes is the struct's.
        assert_eq!(size_of::<undiffuse_options>(), 2 * 4 + 8 * 8);
        // A new member makes the struct larger than its first version; that stays 72.
        assert_eq!(FIRST, 72);
    }

    #[test]
    fn a_struct_of_another_version_is_read() {
        #[repr(C)]
        struct Newer {
            known: undiffuse_options,
            more: u64,
        }
        let size = size_of::<Newer>() as u32;
        let mut newer = Newer { known: undiffuse_options { size, seed: 7, ..Default::default() }, more: 0 };
        let read = |n: &Newer| unsafe { undiffuse_options::read(std::ptr::from_ref(n).cast()) };
        assert_eq!(read(&newer).unwrap().seed, 7);
        newer.more = 1;
        let refused = read(&newer).unwrap_err();
        assert!(refused.message.contains("use a newer library"), "{refused:?}");
        newer.known.size = 8;
        assert!(read(&newer).unwrap_err().message.contains("has size 8"));
    }
}
