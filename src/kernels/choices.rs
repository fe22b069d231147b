//! What was learnt of an adapter's driver: which variants are wrong there, and which are
//! fastest for a shape.

use super::{Call, Caps, Kernel, Variant, ALL};
use std::collections::BTreeMap;

/// Variants are written `family/variant`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Choices {
    /// Variants that are wrong on this driver, and what was seen. They are passed over
    /// wherever another variant takes the shape.
    pub banned: BTreeMap<String, String>,
    /// The fastest variant by the shape of one image (as `Conv::shape_key`), measured.
    pub fastest: BTreeMap<String, String>,
}

/// `family/variant`.
pub fn full_name(kernel: &Kernel, variant: &Variant) -> String {
    format!("{}/{}", kernel.name, variant.name)
}

/// The family and variant of a name that [`full_name`] gave.
pub fn find(name: &str) -> Option<(&'static Kernel, &'static Variant)> {
    let (family, variant) = name.split_once('/')?;
    let kernel = ALL.iter().find(|k| k.name == family)?;
    Some((kernel, kernel.variant(variant)?))
}

impl Choices {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.banned.is_empty() && self.fastest.is_empty()
    }

    /// 64 hexadecimal digits that tell these choices from others: with other choices an
    /// adapter may sum in another order.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (kind, map) in [(0u8, &self.banned), (1, &self.fastest)] {
            for (key, value) in map {
                // What was seen of a wrong variant changes nothing.
                let value = if kind == 0 { "" } else { value };
                for part in [key.as_str(), value] {
                    hasher.update(&[kind]).update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl Caps {
    /// Whether a variant was found to be wrong here.
    pub fn bans(&self, kernel: &Kernel, variant: &Variant) -> bool {
        let banned = self.choices.map(|c| &c.banned).filter(|b| !b.is_empty());
        banned.is_some_and(|b| b.contains_key(&full_name(kernel, variant)))
    }

    /// The variant that was measured to be fastest for a shape, if it may still run.
    pub fn fastest(&self, shape: impl FnOnce() -> String) -> Option<(&'static Kernel, &'static Variant)> {
        let known = self.choices.map(|c| &c.fastest).filter(|f| !f.is_empty())?;
        let (kernel, variant) = find(known.get(&shape())?)?;
        (self.meets(variant.needs) && !self.bans(kernel, variant)).then_some((kernel, variant))
    }
}

impl Kernel {
    /// As [`Kernel::pick`], but none that is wrong here.
    pub fn sound(&'static self, caps: &Caps, want: impl Fn(&Variant) -> bool) -> Option<&'static Variant> {
        self.variants.iter().find(|v| caps.meets(v.needs) && want(v) && !caps.bans(self, v))
    }
}

impl Kernel {
    /// Whether the family's vector variants are to be used where numbers are `whole` vectors:
    /// not where any of them was found to be wrong.
    pub fn vectors(&self, caps: &Caps, whole: bool) -> bool {
        whole && !self.variants.iter().any(|v| v.get("VEC4") == 1 && caps.bans(self, v))
    }
}

impl<B> Call<B> {
    /// `family/variant`.
    pub fn full_name(&self) -> String {
        full_name(self.kernel, self.variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{conv, fill, product};

    #[test]
    fn banned_variants_are_passed_over_where_another_fits() {
        let ban = |names: &[&str]| {
            let banned = names.iter().map(|n| (n.to_string(), String::new())).collect();
            let choices: &'static Choices = Box::leak(Box::new(Choices { banned, ..Default::default() }));
            Caps { choices: Some(choices), ..Caps::CORE }
        };
        let conv = conv::Conv {
            n: 1,
            h: 8,
            w: 8,
            ci: 16,
            oh: 8,
            ow: 8,
            co: 16,
            kh: 3,
            kw: 3,
            stride: 1,
            pad_top: 1,
            pad_left: 1,
            scale: 1.0,
            ..Default::default()
        };
        assert_eq!(conv.choose(&Caps::CORE).1.name, "32x64_vec4");
        assert_eq!(conv.choose(&ban(&["conv_tile/32x64_vec4"])).1.name, "128x64_vec4");
        let vectors = ["conv_tile/32x64_vec4", "conv_tile/64x64_vec4", "conv_tile/128x64_vec4"];
        assert_eq!(conv.choose(&ban(&vectors)).1.name, "128x64");
        // Scalars in place of vectors.
        let product = product::Product { n: 1, pixels: 4, c: 8, factor: product::Factor::Same };
        let name = |caps: &Caps| product.calls(caps, 0, 1, 2)[0].variant.name;
        assert_eq!(name(&Caps::CORE), "vec4_same");
        assert_eq!(name(&ban(&["product/vec4_same"])), "scalar_same");
        // The last resort runs all the same: doctor says so.
        let caps = ban(&["fill/number"]);
        assert_eq!(fill::KERNEL.pick(&caps, |v| v.get("SLOT") == 0).map(|v| v.name), Some("number"));
        assert!(fill::KERNEL.sound(&caps, |v| v.get("SLOT") == 0).is_none());
    }

    #[test]
    fn what_was_measured_decides_and_hashes_tell_choices_apart() {
        let mut choices = Choices::default();
        let empty = choices.hash();
        choices.banned.insert("fill/number".into(), "element 3".into());
        let one = choices.hash();
        choices.banned.insert("fill/number".into(), "element 4".into());
        assert_eq!(choices.hash(), one);
        assert_ne!(one, empty);
        choices.fastest.insert("shape".into(), "conv_tile/64x64".into());
        assert_ne!(choices.hash(), one);
        let caps = Caps { choices: Some(Box::leak(Box::new(choices))), ..Caps::CORE };
        assert_eq!(caps.fastest(|| "shape".into()).map(|f| f.1.name), Some("64x64"));
        assert!(caps.fastest(|| "another".into()).is_none());
        assert!(find("conv_tile/none").is_none() && find("none").is_none());
    }
}
