//! The kernels of convolutions and their variants: tiles for GPUs, streams for processors that act
//! as GPUs.

use crate::kernels::{Kernel, Needs, Variant};

/// A tile variant: vector width of input and output, lanes in x and y, input channels staged at
/// a time; a lane makes eight pixels by eight output channels.
macro_rules! tile {
    ($name:literal, width $w:literal, lanes $lx:literal, $ly:literal, chunk $kc:literal) => {
        tile!($name, width $w, lanes $lx, $ly, chunk $kc, silu 0)
    };
    ($name:literal, width $w:literal, lanes $lx:literal, $ly:literal, chunk $kc:literal, silu $act:literal) => {
        Variant {
            name: $name,
            defines: &[
                ("IN", $w),
                ("OUT", $w),
                ("VEC4", ($w == 4) as u32),
                ("LX", $lx),
                ("LY", $ly),
                ("RM", 2),
                ("RN", 2),
                ("KC", $kc),
                // A lane stages one of QS vectors of a pixel's KC channels, of XS pixels.
                ("QS", $kc / 4),
                ("STEP", 4 * $lx * $ly / $kc),
                ("SLOTS", $lx * $ly / $kc),
                ("XS", 2 * $kc / $lx),
                ("XH", $kc / $lx),
                // Elements of the input that four channels are.
                ("QUAD", 4 / $w),
                // All lanes stage ROWS rows of weights at a time, in WS passes.
                ("ROWS", $ly / 2),
                ("WS", 2 * $kc / $ly),
                ("SILU", $act),
            ],
            needs: Needs::NONE,
        }
    };
}

/// The tile family: GPUs. Named by pixels and output channels of a workgroup.
pub static TILE: Kernel = Kernel {
    name: "conv_tile",
    check: super::check::tile,
    source: include_str!("../../../shaders/conv_tile.wgsl"),
    variants: &[
        tile!("128x64_vec4", width 4, lanes 8, 16, chunk 16),
        tile!("64x64_vec4", width 4, lanes 8, 8, chunk 16),
        tile!("32x64_vec4", width 4, lanes 8, 4, chunk 8),
        tile!("128x64", width 1, lanes 8, 16, chunk 16),
        tile!("64x64", width 1, lanes 8, 8, chunk 16),
        tile!("32x64", width 1, lanes 8, 4, chunk 8),
        tile!("32x64_vec4_silu", width 4, lanes 8, 4, chunk 8, silu 1),
        tile!("32x64_silu", width 1, lanes 8, 4, chunk 8, silu 1),
    ],
};

/// A stream variant: vector widths of input and output, output channels and
/// pixels of a lane, lanes, then whether weights are in an image, SiLU comes last, and the
/// input and the result are in images.
macro_rules! stream {
    ($name:literal, in $i:literal, out $o:literal, ob $ob:literal, pb $pb:literal, s $s:literal) => {
        stream!($name, in $i, out $o, ob $ob, pb $pb, s $s, image 0, silu 0)
    };
    ($name:literal, in $i:literal, out $o:literal, ob $ob:literal, pb $pb:literal, s $s:literal,
     image $image:literal, silu $act:literal) => {
        stream!($name, in $i, out $o, ob $ob, pb $pb, s $s, image $image, silu $act, staged 0)
    };
    ($name:literal, in $i:literal, out $o:literal, ob $ob:literal, pb $pb:literal, s $s:literal,
     image $image:literal, silu $act:literal, staged $staged:literal) => {
        stream!($name, in $i, out $o, ob $ob, pb $pb, s $s, image $image, silu $act, staged $staged, to 0)
    };
    ($name:literal, in $i:literal, out $o:literal, ob $ob:literal, pb $pb:literal, s $s:literal,
     image $image:literal, silu $act:literal, staged $staged:literal, to $to:literal) => {
        Variant {
            name: $name,
            defines: &[
                ("IN", $i),
                ("OUT", $o),
                ("IN8", ($i == 8) as u32),
                ("IN4", ($i == 4) as u32),
                ("OUT8", ($o == 8) as u32),
                ("OUT4", ($o == 4) as u32),
                ("WIDE", ($i == 8 || $o == 8) as u32),
                ("OB", $ob),
                ("PB", $pb),
                ("MORE", $pb - 1),
                ("S", $s),
                ("QUADS", $s * $ob / 4),
                ("IMAGE", $image),
                ("SILU", $act),
                ("STAGED", $staged),
                ("TO", $to),
            ],
            needs: Needs { subgroup: Some($s), int64: $i == 8 || $o == 8 },
        }
    };
}

/// The stream family: processors that act as GPUs.
pub static STREAM: Kernel = Kernel {
    name: "conv_stream",
    check: super::check::stream,
    source: include_str!("../../../shaders/conv_stream.wgsl"),
    variants: &[
        stream!("s8_staged_o8_32", in 1, out 8, ob 4, pb 4, s 8, image 1, silu 0, staged 1),
        stream!("s8_staged_o8_16", in 1, out 8, ob 2, pb 4, s 8, image 1, silu 0, staged 1),
        stream!("s8_staged_o1_8", in 1, out 1, ob 1, pb 4, s 8, image 1, silu 0, staged 1),
        stream!("s8_staged_32_to", in 1, out 8, ob 4, pb 4, s 8, image 1, silu 0, staged 1, to 1),
        stream!("s8_staged_16_to", in 1, out 8, ob 2, pb 4, s 8, image 1, silu 0, staged 1, to 1),
        stream!("s8_i8_o8_32_image", in 8, out 8, ob 4, pb 4, s 8, image 1, silu 0),
        stream!("s8_i8_o8_16_image", in 8, out 8, ob 2, pb 2, s 8, image 1, silu 0),
        stream!("s8_i8_o1_8_image", in 8, out 1, ob 1, pb 4, s 8, image 1, silu 0),
        stream!("s8_i8_o8_32", in 8, out 8, ob 4, pb 4, s 8),
        stream!("s8_i8_o8_16", in 8, out 8, ob 2, pb 2, s 8),
        stream!("s8_i8_o8_8", in 8, out 8, ob 1, pb 2, s 8),
        stream!("s8_i8_o1_8", in 8, out 1, ob 1, pb 2, s 8),
        stream!("s8_i1_o8_16", in 1, out 8, ob 2, pb 2, s 8),
        stream!("s8_i4_o4_16", in 4, out 4, ob 2, pb 2, s 8),
        stream!("s8_i4_o1_8", in 4, out 1, ob 1, pb 2, s 8),
        stream!("s8_i1_o4_16", in 1, out 4, ob 2, pb 2, s 8),
        stream!("s8_i1_o1_8", in 1, out 1, ob 1, pb 2, s 8),
        stream!("s4_i4_o4_16", in 4, out 4, ob 4, pb 2, s 4),
        stream!("s4_i4_o1_8", in 4, out 1, ob 2, pb 2, s 4),
        stream!("s4_i1_o4_16", in 1, out 4, ob 4, pb 2, s 4),
        stream!("s4_i1_o1_8", in 1, out 1, ob 2, pb 2, s 4),
        stream!("s8_i8_o8_16_image_silu", in 8, out 8, ob 2, pb 1, s 8, image 1, silu 1),
        stream!("s8_i8_o8_16_silu", in 8, out 8, ob 2, pb 1, s 8, image 0, silu 1),
        stream!("s8_i4_o4_16_silu", in 4, out 4, ob 2, pb 1, s 8, image 0, silu 1),
        stream!("s8_i1_o1_8_silu", in 1, out 1, ob 1, pb 1, s 8, image 0, silu 1),
        stream!("s4_i4_o4_16_silu", in 4, out 4, ob 4, pb 1, s 4, image 0, silu 1),
        stream!("s4_i1_o1_8_silu", in 1, out 1, ob 2, pb 1, s 4, image 0, silu 1),
    ],
};

/// The stream family for 3 x 3 with stride 1 that keeps the size.
pub static STREAM3: Kernel = Kernel {
    name: "conv3_stream",
    check: super::check::stream3,
    source: include_str!("../../../shaders/conv3_stream.wgsl"),
    variants: &[
        stream!("s8_32_image", in 8, out 8, ob 4, pb 4, s 8, image 1, silu 0),
        stream!("s8_16_image", in 8, out 8, ob 2, pb 4, s 8, image 1, silu 0),
        stream!("s8_32", in 8, out 8, ob 4, pb 4, s 8),
        stream!("s8_16", in 8, out 8, ob 2, pb 4, s 8),
    ],
};
