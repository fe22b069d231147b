//! Convolution and linear layers with what is fused into their store.

use super::{first, Op, Site};
use crate::graph::plan::{Buf, Lower};
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::conv::{Conv, ConvBuffers};
use crate::kernels::winograd::Winograd;
use crate::kernels::Caps;
use crate::shape::Shape;
use crate::weights::Param;

/// `act((conv(up(x)) + bias [+ temb] [+ res]) * scale)`. Inputs: `x`, then `temb` (a
/// vector, of which `co` channels are added) and `res` (the output's shape) where present.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// `[co, ci, kh, kw]` or `[co, ci]`.
    pub(crate) weight: Param,
    /// `[co]`.
    pub(crate) bias: Option<Param>,
    pub(crate) stride: usize,
    /// `[top, bottom, left, right]`.
    pub(crate) padding: [usize; 4],
    /// The first channel of the per-image vector that is added (input 1), if one is.
    pub temb: Option<usize>,
    /// Whether a tensor of the output's shape is added (the last input).
    pub residual: bool,
    /// The factor at the end.
    pub scale: f64,
    /// Each pixel of `x` stands for `2^up x 2^up`.
    pub up: usize,
    /// Whether SiLU comes last.
    pub silu: bool,
}

impl Conv2d {
    /// Weight `[co, ci, kh, kw]`, or `[co, ci]` for a linear layer; padding
    /// `[top, bottom, left, right]`.
    pub fn new(weight: Param, bias: Option<Param>, stride: usize, padding: [usize; 4]) -> Self {
        Self { weight, bias, stride, padding, temb: None, residual: false, scale: 1.0, up: 0, silu: false }
    }

    /// Whether nothing is fused into it.
    pub(crate) fn plain(&self) -> bool {
        self.temb.is_none() && !self.residual && self.scale == 1.0 && self.up == 0 && !self.silu
    }

    /// Whether it is a linear map of each pixel.
    pub(crate) fn pointwise(&self) -> bool {
        matches!(*self.weight.shape(), [_, _] | [_, _, 1, 1]) && self.stride == 1 && self.padding == [0; 4]
    }

    /// `[co, ci, kh, kw]`.
    fn dims(&self) -> Result<[usize; 4], String> {
        match *self.weight.shape() {
            [co, ci] => Ok([co, ci, 1, 1]),
            [co, ci, kh, kw] => Ok([co, ci, kh, kw]),
            ref other => Err(format!("weight `{}` has shape {other:?}", self.weight.name())),
        }
    }

    /// The rows and columns that the kernel sees.
    fn seen(&self, x: Shape) -> Option<(usize, usize)> {
        let factor = 1usize.checked_shl(self.up as u32)?;
        Some((x.h.checked_mul(factor)?, x.w.checked_mul(factor)?))
    }

    /// The kernel's shape there.
    fn site(&self, at: &Site<'_>) -> Result<Conv, String> {
        self.kernel(at.n, at.inputs[0], at.output, self.temb.map_or(0, |_| at.inputs[1].c))
    }

    fn kernel(&self, n: usize, x: Shape, y: Shape, temb: usize) -> Result<Conv, String> {
        let [_, _, kh, kw] = self.dims()?;
        Ok(Conv {
            n,
            h: x.h,
            w: x.w,
            ci: x.c,
            oh: y.h,
            ow: y.w,
            co: y.c,
            kh,
            kw,
            stride: self.stride,
            pad_top: self.padding[0],
            pad_left: self.padding[2],
            scale: self.scale as f32,
            up: self.up,
            temb: (temb, self.temb.unwrap_or(0)),
            silu: self.silu,
            image: false,
            to_image: false,
        })
    }
}

impl Conv2d {
    fn buffers(&self, cx: &mut Lower<'_>, weight: Buf, bias: Buf) -> Result<ConvBuffers<Buf>, GraphError> {
        Ok(ConvBuffers {
            x: cx.input(0),
            weight,
            bias,
            temb: self.temb.map(|_| cx.input(1)),
            res: self.shared().map(|i| cx.input(i)),
            staged: None,
            dummy: cx.constant("dummy", || vec![0.0; 8])?,
            y: cx.output(),
        })
    }

    fn lower_winograd(&self, cx: &mut Lower<'_>, conv: &Conv, way: Winograd) -> Result<(), GraphError> {
        let weight = cx.weight(&self.weight, &way.layout(), true, move |w| way.pack(&w))?;
        let bias = match &self.bias {
            Some(b) => cx.weight(b, "plain", false, |b| b)?,
            None => {
                let co = conv.co;
                cx.constant(&format!("zeros.{co}"), move || vec![0.0; co])?
            }
        };
        let [v, m] = way.scratch();
        let scratch = [cx.scratch_image(v)?, cx.scratch_image(m)?];
        let buffers = self.buffers(cx, weight, bias)?;
        for (i, call) in way.calls(buffers, scratch).into_iter().enumerate() {
            cx.part(call, i == 1);
        }
        Ok(())
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        if self.weight.shape().len() == 2 {
            "linear"
        } else {
            "conv2d"
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let wanted = 1 + usize::from(self.temb.is_some()) + usize::from(self.residual);
        if inputs.len() != wanted {
            return Err(format!("takes {wanted} inputs, got {}", inputs.len()));
        }
        let x = inputs[0];
        let [co, ci, kh, kw] = self.dims()?;
        if x.c != ci {
            return Err(format!(
                "weight `{}` takes {ci} channels, the input has {}",
                self.weight.name(),
                x.c
            ));
        }
        if let Some(b) = self.bias.as_ref().filter(|b| *b.shape() != [co]) {
            return Err(format!("bias `{}` has shape {:?}, wanted [{co}]", b.name(), b.shape()));
        }
        let [top, bottom, left, right] = self.padding;
        let out = |size: usize, before: usize, after: usize, k: usize| {
            (size + before + after)
                .checked_sub(k)
                .filter(|_| self.stride > 0 && k > 0)
                .map(|rest| rest / self.stride + 1)
                .ok_or_else(|| format!("a kernel of {kh} x {kw} does not fit into {} x {}", x.h, x.w))
        };
        let (h, w) = self.seen(x).ok_or("the upsampled image is too large")?;
        let y = Shape::new(out(h, top, bottom, kh)?, out(w, left, right, kw)?, co);
        if let Some(at) = self.temb {
            if inputs[1].pixels() != 1 || inputs[1].c < at.saturating_add(co) {
                return Err(format!("channels {at} to {} of a vector are added to every pixel", at + co));
            }
        }
        if self.residual && inputs[wanted - 1] != y {
            return Err(format!("a residual of shape {y} is added"));
        }
        Ok(y)
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        self.kernel(1, inputs[0], output, 0).map_or(0, |k| k.macs())
    }

    fn params(&self) -> Vec<&Param> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }

    fn detail(&self) -> String {
        let mut words = Vec::new();
        if let [_, _, kh, kw] = *self.weight.shape() {
            words.push(format!("{kh}x{kw}"));
        }
        if self.stride != 1 {
            words.push(format!("stride {}", self.stride));
        }
        if self.up > 0 {
            words.push(format!("upsampled {}x", 1u64 << self.up.min(63)));
        }
        if self.temb.is_some() {
            words.push("+ time".into());
        }
        if self.residual {
            words.push("+ residual".into());
        }
        if self.scale != 1.0 {
            words.push(format!("* {:.4}", self.scale));
        }
        if self.silu {
            words.push("silu".into());
        }
        words.join(", ")
    }

    fn writes_image(&self, at: &Site<'_>) -> bool {
        self.site(at).is_ok_and(|conv| conv.writes_image(at.caps))
    }

    fn reads_image(&self, at: &Site<'_>, i: usize) -> bool {
        let of = |reads: fn(&Conv, &Caps) -> bool| self.site(at).is_ok_and(|conv| reads(&conv, at.caps));
        match i {
            0 => of(Conv::reads_image),
            _ => Some(i) == self.shared() && of(Conv::writes_image),
        }
    }

    fn shared(&self) -> Option<usize> {
        self.residual.then(|| 1 + usize::from(self.temb.is_some()))
    }

    fn tangent(
        &self,
        g: &mut Graph,
        _: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let dx = first(self, g, dx)?;
        if !self.plain() {
            return Err(GraphError::Internal("tangents come before fusions".into()));
        }
        g.push(Conv2d { bias: None, ..self.clone() }, &[dx])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let temb = self.temb.map_or(0, |_| cx.shape(1).c);
        let conv = self.kernel(cx.n(), cx.shape(0), cx.output_shape(), temb).map_err(GraphError::Internal)?;
        let (image, to_image) = (cx.is_image(cx.input(0)), cx.is_image(cx.output()));
        let conv = Conv { image, to_image, ..conv };
        if let Some(way) = Winograd::choose(&conv, cx.caps()) {
            return self.lower_winograd(cx, &conv, way);
        }
        let (kernel, variant) = conv.choose(cx.caps());
        let layout = format!("{}/{}", kernel.name, variant.name);
        let image = variant.get("IMAGE") == 1;
        let weight = cx.weight(&self.weight, &layout, image, move |w| conv.pack(kernel, variant, &w))?;
        let bias = match &self.bias {
            Some(b) => cx.weight(b, &layout, false, move |b| conv.pack_bias(kernel, variant, Some(&b)))?,
            None => {
                let zeros = conv.pack_bias(kernel, variant, None);
                cx.constant(&format!("zeros.{}", zeros.len()), move || zeros)?
            }
        };
        let staged = conv.staging(variant).map(|t| cx.scratch_image(t.len())).transpose()?;
        let buffers = ConvBuffers { staged, ..self.buffers(cx, weight, bias)? };
        let calls = conv.calls(cx.caps(), (kernel, variant), buffers);
        cx.calls(calls);
        Ok(())
    }
}
