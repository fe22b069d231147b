//! In which order a layer's products may be summed: floating-point sums in another order
//! round otherwise.

/// What the order of summation may follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Summation {
    /// The shape of one image and the adapter: images are bit-equal over batch, chunk and
    /// shard. Convolutions may be Winograd's.
    #[default]
    Image,
    /// The same, and each layer sums the products of its definition: no Winograd, whose
    /// transforms round numbers that are not in the sum.
    Exact,
    /// The shape of the whole batch too: what is fastest for it. An image then depends, in
    /// its last bits, on how many are drawn at once.
    Fastest,
}

impl Summation {
    /// `image`, `exact`, `fastest`.
    pub fn name(self) -> &'static str {
        match self {
            Summation::Image => "image",
            Summation::Exact => "exact",
            Summation::Fastest => "fastest",
        }
    }

    /// Whether an image is the same, bit for bit, whatever the batch.
    pub fn is_batch_invariant(self) -> bool {
        self != Summation::Fastest
    }

    /// Whether it is the default.
    pub fn is_default(&self) -> bool {
        *self == Summation::default()
    }
}
