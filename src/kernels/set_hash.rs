//! What tells one set of kernels from every other.

use super::{template, Kernel, ALL};
use std::sync::OnceLock;

/// BLAKE3 (64 hexadecimal digits) of every variant's name and expanded text, in the order
/// of the names: two builds with the same hash run the same shaders. Computed once.
pub fn set_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| of(ALL))
}

fn of(kernels: &[&Kernel]) -> String {
    let mut texts: Vec<(&str, &str, String)> = Vec::new();
    for kernel in kernels {
        for variant in kernel.variants {
            // Tests expand every variant; should one fail, its error stands for it.
            let text = template::expand(kernel.source, variant.defines).unwrap_or_else(|e| e.to_string());
            texts.push((kernel.name, variant.name, text));
        }
    }
    texts.sort();
    let mut hasher = blake3::Hasher::new();
    for (kernel, variant, text) in &texts {
        for part in [*kernel, *variant, text] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{advance, fill, Needs, Variant};

    #[test]
    fn every_text_counts_and_the_order_does_not() {
        assert_eq!(set_hash().len(), 64);
        assert_eq!(set_hash(), of(ALL));
        let mut reversed = ALL.to_vec();
        reversed.reverse();
        assert_eq!(of(&reversed), set_hash());
        assert_ne!(of(&ALL[1..]), set_hash());
        static CHANGED: Kernel = Kernel {
            name: "advance",
            source: "// another text",
            check: |_| Ok(()),
            variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
        };
        assert_ne!(of(&[&CHANGED, &fill::KERNEL]), of(&[&advance::KERNEL, &fill::KERNEL]));
    }
}
