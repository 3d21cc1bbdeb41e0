//! Images, convolutions, linear layers and activations.

use super::super::Element;
use super::super::model::{Attribute, DataType, Dimension};
use super::quantised::Layer;
use super::{IMAGES, Lowering};
use crate::graph::{Activation, Convolution};
use crate::torch::tensors;

impl Lowering<'_> {
    /// Declares the input and brings it to what the first layer reads.
    pub(super) fn image(&mut self, channels: i64, output: &str) {
        let side = i64::from(self.preprocessing.size);
        let shape = [
            Dimension::Batch,
            Dimension::Length(channels),
            Dimension::Length(side),
            Dimension::Length(side),
        ];
        self.message.input(IMAGES, &shape);
        let mut value = IMAGES.to_owned();
        if self.element == Element::F16 {
            let to = [("to", Attribute::Integer(DataType::F16 as i64))];
            let cast = if self.normalise {
                "images/half"
            } else {
                output
            };
            self.message
                .node("Cast", "images/cast", &[&value], &[cast], &to);
            value = cast.to_owned();
        }
        if self.normalise {
            let channel = |values: [f32; 3]| tensors::from_slice_f32(&[1, 3, 1, 1], &values);
            let mean = self.floats("images/mean", &channel(self.preprocessing.mean));
            let std = self.floats("images/std", &channel(self.preprocessing.std));
            self.plain("Sub", "images/centre", &[&value, &mean], "images/centred");
            self.plain("Div", "images/scale", &["images/centred", &std], output);
        } else if self.element == Element::F32 {
            // The first layer reads the input itself.
            for names in [&mut self.values, &mut self.reads] {
                if let Some(last) = names.last_mut() {
                    *last = value.clone();
                }
            }
        }
    }

    pub(super) fn convolution(
        &mut self,
        name: &str,
        inputs: &[String],
        output: &str,
        convolution: &Convolution,
    ) {
        let Convolution {
            kernel,
            stride,
            padding,
            groups,
            ..
        } = *convolution;
        let attributes = [
            ("kernel_shape", Attribute::Integers(&[kernel; 2])),
            ("strides", Attribute::Integers(&[stride; 2])),
            ("pads", Attribute::Integers(&[padding; 4])),
            ("group", Attribute::Integer(groups)),
        ];
        self.operator("Conv", name, inputs, output, &attributes);
    }

    pub(super) fn activation(
        &mut self,
        name: &str,
        activation: Activation,
        input: &str,
        output: &str,
    ) {
        match activation {
            Activation::Relu => self.plain("Relu", name, &[input], output),
            Activation::Relu6 => {
                let (low, high) = (self.scalar("zero", 0.0), self.scalar("six", 6.0));
                self.plain("Clip", name, &[input, &low, &high], output);
            }
            Activation::Hardswish => self.plain("HardSwish", name, &[input], output),
            Activation::Hardsigmoid => {
                let attributes = [
                    ("alpha", Attribute::Float(1.0 / 6.0)),
                    ("beta", Attribute::Float(0.5)),
                ];
                self.operator(
                    "HardSigmoid",
                    name,
                    &[input.to_owned()],
                    output,
                    &attributes,
                );
            }
            Activation::Sigmoid => self.plain("Sigmoid", name, &[input], output),
            Activation::Silu => {
                let gate = format!("{name}/sigmoid");
                self.plain("Sigmoid", &gate, &[input], &gate);
                self.plain("Mul", name, &[input, &gate], output);
            }
            Activation::Gelu => self.gelu(name, input, output),
        }
    }

    /// x · (1 + erf(x / √2)) / 2: ONNX has no Gelu before opset 20.
    pub(super) fn gelu(&mut self, name: &str, input: &str, output: &str) {
        let root = self.scalar("root_of_two", std::f64::consts::SQRT_2);
        let (one, half) = (self.scalar("one", 1.0), self.scalar("half", 0.5));
        let part = |last: &str| format!("{name}/{last}");
        self.plain("Div", &part("divided"), &[input, &root], &part("divided"));
        self.plain("Erf", &part("erf"), &[&part("divided")], &part("erf"));
        self.plain(
            "Add",
            &part("raised"),
            &[&part("erf"), &one],
            &part("raised"),
        );
        self.plain(
            "Mul",
            &part("product"),
            &[input, &part("raised")],
            &part("product"),
        );
        self.plain("Mul", name, &[&part("product"), &half], output);
    }

    pub(super) fn subsample_and_pad(
        &mut self,
        name: &str,
        input: &str,
        output: &str,
        stride: i64,
        [before, after]: [i64; 2],
    ) {
        let part = |last: &str| format!("{name}/{last}");
        let starts = self.integers(&part("starts"), &[0, 0]);
        let ends = self.integers(&part("ends"), &[i64::MAX; 2]);
        let axes = self.integers(&part("axes"), &[2, 3]);
        let steps = self.integers(&part("steps"), &[stride; 2]);
        let pads = self.integers(&part("pads"), &[0, before, 0, 0, 0, after, 0, 0]);
        let sampled = part("sampled");
        self.plain(
            "Slice",
            &sampled,
            &[input, &starts, &ends, &axes, &steps],
            &sampled,
        );
        self.plain("Pad", name, &[&sampled, &pads], output);
    }

    /// Of `[B, inputs]` when `flat`, else of tokens.
    pub(super) fn linear(
        &mut self,
        name: &str,
        input: &str,
        layer: &Layer,
        output: &str,
        flat: bool,
    ) {
        if flat {
            let mut inputs = vec![input.to_owned(), layer.weight.clone()];
            inputs.extend(layer.bias.clone());
            let transposed = [("transB", Attribute::Integer(1))];
            return self.operator("Gemm", name, &inputs, output, &transposed);
        }
        let turned = if layer.turned {
            layer.weight.clone()
        } else {
            // The weights keep their shape of the state dict; runtimes transpose them once, when
            // they load the file.
            let turned = format!("{name}/weight");
            let order = [("perm", Attribute::Integers(&[1, 0]))];
            let inputs = std::slice::from_ref(&layer.weight);
            self.operator("Transpose", &turned, inputs, &turned, &order);
            turned
        };
        match &layer.bias {
            None => self.plain("MatMul", name, &[input, &turned], output),
            Some(bias) => {
                let product = format!("{name}/product");
                self.plain("MatMul", &product, &[input, &turned], &product);
                self.plain("Add", name, &[&product, bias], output);
            }
        }
    }
}
