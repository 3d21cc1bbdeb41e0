//! Values and weights on 8-bit grids: QuantizeLinear and DequantizeLinear around what is rounded,
//! and stored integers.

use tch::{Kind, Tensor};

use super::super::model::{Attribute, DataType};
use super::Lowering;
use crate::deploy::quantisation::{Grid, bias_scales, stored_bias, stored_weight, weight_scales};
use crate::torch::tensors;

/// A layer's tensors by name.
pub(super) struct Layer {
    pub weight: String,
    pub bias: Option<String>,
    /// The weights are stored as `[inputs, outputs]`.
    pub turned: bool,
}

impl Lowering<'_> {
    fn grid(&self, index: usize) -> Option<Grid> {
        self.quantisation
            .and_then(|quantisation| quantisation.grids[index])
    }

    /// Lets the readers of a node's result see it rounded.
    pub(super) fn round(&mut self, index: usize) {
        let Some(Grid { scale, zero }) = self.grid(index) else {
            return;
        };
        let value = self.values[index].clone();
        let part = |last: &str| format!("{}/{last}", self.names[index]);
        let (scale_name, zero_name) = (part("quantized_scale"), part("quantized_zero_point"));
        let (stored, seen) = (part("quantized"), part("dequantized"));
        self.message
            .initializer(&scale_name, DataType::F32, &[], &scale.to_le_bytes());
        self.message
            .initializer(&zero_name, DataType::U8, &[], &[zero]);
        self.plain(
            "QuantizeLinear",
            &stored,
            &[&value, &scale_name, &zero_name],
            &stored,
        );
        self.plain(
            "DequantizeLinear",
            &seen,
            &[&stored, &scale_name, &zero_name],
            &seen,
        );
        self.reads[index] = seen;
    }

    /// Weight and bias of a convolution or linear layer; `of_tokens` when it is to be multiplied
    /// from the right.
    pub(super) fn layer(&mut self, index: usize, own: &[Tensor], of_tokens: bool) -> Layer {
        let input = self.graph.nodes()[index].inputs[0].0;
        let Some(grid) = self.grid(input) else {
            return Layer {
                weight: self.tensor(index, own, 0),
                bias: (own.len() > 1).then(|| self.tensor(index, own, 1)),
                turned: false,
            };
        };
        let specs = self.graph.nodes()[index].state();
        let scales = weight_scales(&own[0]);
        let mut stored = stored_weight(&own[0], &scales);
        if of_tokens {
            stored = stored.tr().contiguous();
        }
        let name = &specs[0].name;
        let weight = self.integers_with_scales(name, &stored, &scales, i64::from(of_tokens));
        let bias = own.get(1).map(|bias| {
            if of_tokens {
                return self.tensor(index, own, 1);
            }
            let stored = stored_bias(bias, &scales, grid);
            let scales = bias_scales(&scales, grid);
            self.integers_with_scales(&specs[1].name, &stored, &scales, 0)
        });
        Layer {
            weight,
            bias,
            turned: of_tokens,
        }
    }

    /// Writes stored integers, of which each slice along `axis` has its scale; returns the name of
    /// the numbers they stand for.
    fn integers_with_scales(
        &mut self,
        name: &str,
        stored: &Tensor,
        scales: &Tensor,
        axis: i64,
    ) -> String {
        let (element, zeros) = match stored.kind() {
            Kind::Int8 => (DataType::I8, 1),
            _ => (DataType::I32, 4),
        };
        let (_, shape, bytes) = tensors::to_bytes(stored);
        self.message.initializer(name, element, &shape, &bytes);
        let part = |last: &str| format!("{name}/{last}");
        let (scale, zero, seen) = (part("scale"), part("zero_point"), part("dequantized"));
        let (_, count, bytes) = tensors::to_bytes(&scales.to_kind(Kind::Float));
        self.message
            .initializer(&scale, DataType::F32, &count, &bytes);
        let zeros = vec![0; count[0] as usize * zeros];
        self.message.initializer(&zero, element, &count, &zeros);
        let axis = [("axis", Attribute::Integer(axis))];
        let inputs = [name.to_owned(), scale, zero];
        self.operator("DequantizeLinear", &seen, &inputs, &seen, &axis);
        seen
    }
}
