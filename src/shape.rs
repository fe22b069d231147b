//! Shapes: what every floor agrees on.

use std::fmt;

/// The shape of one image of a batch: `[h, w, c]`. Tensors are `[n, h, w, c]`
/// (NHWC); the batch size `n` is chosen when a plan is made.
///
/// A vector of `c` numbers per image is `[1, 1, c]`; a sequence of `l` tokens
/// is `[1, l, c]` or any `[h, w, c]` with `h * w = l`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// A shape of `h` rows, `w` columns and `c` channels.
    pub const fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// A vector of `c` numbers per image.
    pub const fn vector(c: usize) -> Self {
        Self { h: 1, w: 1, c }
    }

    /// Pixels (or tokens) per image.
    pub const fn pixels(&self) -> usize {
        self.h * self.w
    }

    /// Numbers per image.
    pub const fn len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether an image of this shape holds no number.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers per image, or `None` where the product leaves `usize` or is zero.
    /// For sizes that a file chose.
    pub fn checked_len(&self) -> Option<usize> {
        let len = self.h.checked_mul(self.w)?.checked_mul(self.c)?;
        (len > 0).then_some(len)
    }

    /// The same pixels with `c` channels.
    pub const fn with_c(&self, c: usize) -> Self {
        Self { c, ..*self }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[n, {}, {}, {}]", self.h, self.w, self.c)
    }
}
