//! Convolution of each channel on its own.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::{Act, GraphError};
use crate::kernels::depthwise as kernel;
use crate::shape::Shape;
use crate::weights::Param;

/// `act(conv(x) + bias)`, a filter a channel.
#[derive(Clone, Debug)]
pub struct Depthwise {
    /// `[c, 1, kh, kw]`.
    pub weight: Param,
    /// `[c]`.
    pub bias: Param,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros at `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// Identity or SiLU.
    pub act: Act,
}

impl Depthwise {
    fn kernel(&self) -> Result<kernel::Depthwise, String> {
        let [_, 1, kh, kw] = *self.weight.shape() else {
            return Err(format!("weight `{}` has shape {:?}", self.weight.name(), self.weight.shape()));
        };
        let (stride, padding, activation) = (self.stride, self.padding, self.act);
        let kernel = kernel::Depthwise { kh, kw, stride, padding, activation };
        match kernel.supported() {
            true => Ok(kernel),
            false => Err(format!("{:?} is not applied here", self.act)),
        }
    }
}

impl Op for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        let kernel = self.kernel()?;
        if self.weight.shape()[0] != x.c || *self.bias.shape() != [x.c] {
            return Err(format!(
                "`{}` {:?} and `{}` {:?} are not of {} channels",
                self.weight.name(),
                self.weight.shape(),
                self.bias.name(),
                self.bias.shape(),
                x.c
            ));
        }
        kernel.out(x).ok_or_else(|| format!("a kernel of {} x {} does not fit", kernel.kh, kernel.kw))
    }

    fn macs(&self, _: &[Shape], output: Shape) -> u64 {
        self.kernel().map_or(0, |k| (output.len() * k.kh * k.kw) as u64)
    }

    fn params(&self) -> Vec<&Param> {
        vec![&self.weight, &self.bias]
    }

    fn detail(&self) -> String {
        let side = self.weight.shape().last().copied().unwrap_or(0);
        let mut text = format!("{side}x{side}");
        if self.stride != 1 {
            text += &format!(", stride {}", self.stride);
        }
        if self.act != Act::Identity {
            text += &format!(", {:?}", self.act).to_lowercase();
        }
        text
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let kernel = self.kernel().map_err(GraphError::Internal)?;
        let weight = cx.weight(&self.weight, "depthwise", false, move |w| kernel.pack(&w))?;
        let bias = cx.weight(&self.bias, "plain", false, |b| b)?;
        let image = (cx.n(), cx.shape(0));
        cx.calls(kernel.calls(cx.caps(), image, (cx.input(0), weight, bias), cx.output()));
        Ok(())
    }
}
