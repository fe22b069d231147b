//! One named tensor, converted when it is needed.

use super::{Bytes, WeightsError};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How a tensor's numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
}

impl Dtype {
    /// Bytes of one number.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }
}

/// A named tensor in the checkpoint's layout (convolutions `[o, i, kh, kw]`,
/// linear maps `[o, i]`, row-major). Cheap to clone; [`Param::to_f32`] converts.
#[derive(Clone)]
pub struct Param(Arc<Inner>);

struct Inner {
    name: String,
    shape: Vec<usize>,
    data: Data,
}

enum Data {
    Stored { bytes: Bytes, range: Range<usize>, dtype: Dtype },
    Given(Vec<f32>),
    Derived(Box<dyn Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync>),
}

impl Param {
    /// A tensor of given numbers, row-major.
    ///
    /// # Errors
    /// [`WeightsError::Length`] where `data` does not fill `shape`.
    pub fn from_f32(name: impl Into<String>, shape: &[usize], data: Vec<f32>) -> Result<Param, WeightsError> {
        let (name, found) = (name.into(), data.len());
        if shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)) != Some(found) {
            return Err(WeightsError::Length { name, shape: shape.to_vec(), found });
        }
        Ok(Self::new(name, shape, Data::Given(data)))
    }

    /// A tensor whose numbers `make` computes each time they are needed. A wrong
    /// count shows in [`Param::to_f32`].
    pub fn lazy(
        name: impl Into<String>,
        shape: &[usize],
        make: impl Fn() -> Vec<f32> + Send + Sync + 'static,
    ) -> Param {
        Self::derived(name, shape, move || Ok(make()))
    }

    /// As [`Param::lazy`], of tensors that may turn out unreadable.
    pub fn derived(
        name: impl Into<String>,
        shape: &[usize],
        make: impl Fn() -> Result<Vec<f32>, WeightsError> + Send + Sync + 'static,
    ) -> Param {
        Self::new(name.into(), shape, Data::Derived(Box::new(make)))
    }

    /// What `f` makes of these numbers when they are needed, `how` saying in a word what that is.
    pub fn map(
        &self,
        how: &str,
        shape: &[usize],
        f: impl Fn(Vec<f32>) -> Vec<f32> + Send + Sync + 'static,
    ) -> Param {
        Self::fold(how, shape, vec![self.clone()], move |mut p| f(p.pop().unwrap_or_default()))
    }

    /// A tensor that `f` makes of several others when it is needed, under the name of the first
    /// and `how`.
    pub fn fold(
        how: &str,
        shape: &[usize],
        of: Vec<Param>,
        f: impl Fn(Vec<Vec<f32>>) -> Vec<f32> + Send + Sync + 'static,
    ) -> Param {
        let name = format!("{}, {how}", of.first().map_or("", Param::name));
        let make = move || Ok(f(of.iter().map(Param::to_f32).collect::<Result<_, _>>()?));
        Self::new(name, shape, Data::Derived(Box::new(make)))
    }

    /// A tensor within `bytes`; little-endian, any alignment.
    ///
    /// # Errors
    /// [`WeightsError::Length`] where `range` is out of `bytes` or not exactly as long as `shape` needs.
    pub fn stored(
        name: impl Into<String>,
        shape: &[usize],
        dtype: Dtype,
        bytes: Bytes,
        range: Range<usize>,
    ) -> Result<Param, WeightsError> {
        let name = name.into();
        let wanted = shape.iter().try_fold(dtype.size(), |a, &b| a.checked_mul(b));
        let found = bytes.as_slice().get(range.clone()).map(<[u8]>::len);
        if wanted.is_none() || wanted != found {
            let found = found.unwrap_or(0) / dtype.size();
            return Err(WeightsError::Length { name, shape: shape.to_vec(), found });
        }
        Ok(Self::new(name, shape, Data::Stored { bytes, range, dtype }))
    }

    fn new(name: String, shape: &[usize], data: Data) -> Param {
        Param(Arc::new(Inner { name, shape: shape.to_vec(), data }))
    }

    /// The checkpoint's name of the tensor.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its sizes, the outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// How many numbers it holds.
    pub fn count(&self) -> usize {
        self.0.shape.iter().product()
    }

    /// How its numbers are stored; `F32` for those given or made.
    pub fn dtype(&self) -> Dtype {
        match &self.0.data {
            Data::Stored { dtype, .. } => *dtype,
            Data::Given(_) | Data::Derived(_) => Dtype::F32,
        }
    }

    /// The numbers, row-major.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] with the first NaN or infinity,
    /// [`WeightsError::Length`] where a lazy tensor has a wrong count.
    pub fn to_f32(&self) -> Result<Vec<f32>, WeightsError> {
        let numbers = match &self.0.data {
            Data::Given(v) => v.clone(),
            Data::Derived(make) => make()?,
            Data::Stored { bytes, range, dtype } => {
                decode(bytes.as_slice().get(range.clone()).unwrap_or_default(), *dtype)
            }
        };
        if numbers.len() != self.count() {
            let (name, shape) = (self.0.name.clone(), self.0.shape.clone());
            return Err(WeightsError::Length { name, shape, found: numbers.len() });
        }
        match numbers.iter().position(|x| !x.is_finite()) {
            None => Ok(numbers),
            Some(index) => {
                Err(WeightsError::NotFinite { name: self.0.name.clone(), index, value: numbers[index] })
            }
        }
    }
}

fn decode(bytes: &[u8], dtype: Dtype) -> Vec<f32> {
    match dtype {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => {
            bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        Dtype::Bf16 => {
            bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param({} {:?})", self.0.name, self.0.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_each_type_at_any_alignment() {
        let mut bytes = vec![0u8];
        bytes.extend(1.5f32.to_le_bytes());
        bytes.extend(half::f16::from_f32(-2.0).to_le_bytes());
        bytes.extend(half::bf16::from_f32(3.0).to_le_bytes());
        let bytes = Bytes::from(bytes);
        for (dtype, range, value) in
            [(Dtype::F32, 1..5, 1.5), (Dtype::F16, 5..7, -2.0), (Dtype::Bf16, 7..9, 3.0)]
        {
            let p = Param::stored("x", &[1], dtype, bytes.clone(), range).unwrap();
            assert_eq!(p.to_f32().unwrap(), [value]);
        }
    }

    #[test]
    fn names_the_first_number_that_is_not_finite() {
        let p = Param::from_f32("conv.bias", &[4], vec![0.0, 1.0, f32::NAN, f32::INFINITY]).unwrap();
        let text = p.to_f32().unwrap_err().to_string();
        assert!(text.contains("conv.bias") && text.contains("NaN") && text.contains("index 2"), "{text}");
    }

    #[test]
    fn refuses_wrong_lengths() {
        assert!(Param::from_f32("x", &[2, 3], vec![0.0; 5]).is_err());
        assert!(Param::from_f32("x", &[usize::MAX, 3], vec![]).is_err());
        assert!(Param::lazy("x", &[2], || vec![0.0]).to_f32().is_err());
        let b = Bytes::from(vec![0; 8]);
        assert!(Param::stored("x", &[2], Dtype::F32, b.clone(), 4..12).is_err());
        assert!(Param::stored("x", &[usize::MAX], Dtype::F32, b, 0..8).is_err());
    }
}
