//! The model that comes with the library.

use super::{DiffusersFolder, WeightsError};

impl DiffusersFolder {
    /// `emoji32`: 32 x 32 emoji in ten classes, 5.6 MB within the program (`models/emoji32/README.md`).
    ///
    /// ```
    /// let model = undiffuse::weights::DiffusersFolder::emoji32()?;
    /// assert_eq!(model.index.id2label[&4], "Food & Drink");
    /// # Ok::<(), undiffuse::weights::WeightsError>(())
    /// ```
    ///
    /// # Errors
    /// None, unless the library was built with damaged files.
    pub fn emoji32() -> Result<DiffusersFolder, WeightsError> {
        DiffusersFolder::from_bytes(
            "emoji32",
            include_str!("../../models/emoji32/unet/config.json"),
            Some(include_str!("../../models/emoji32/scheduler/scheduler_config.json")),
            Some(include_str!("../../models/emoji32/model_index.json")),
            include_bytes!("../../models/emoji32/unet/diffusion_pytorch_model.safetensors").as_slice(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tensor_converts() {
        let model = DiffusersFolder::emoji32().unwrap();
        assert_eq!((model.index.id2label.len(), model.index.null_class), (10, Some(10)));
        let names = model.weights().names();
        assert!(names.len() > 100);
        let table = model.weights().get("class_embedding.weight", &[11, 128]).unwrap();
        assert_eq!(table.dtype(), crate::weights::Dtype::F16);
        assert_eq!(table.to_f32().unwrap().len(), 11 * 128);
    }
}
