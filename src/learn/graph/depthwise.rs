//! Depthwise weights in bf16 so that the sum of each kernel stays nearly what it was.
//!
//! A depthwise kernel weighs neighbouring values of one channel, which are much alike: what counts
//! is the sum of its weights. Rounding each weight by itself moves that sum by up to half a step
//! for each; here the error of one weight is carried over to the next one, so that the sum is off
//! by half a step at most (error diffusion). On EfficientNet-Lite0's weights this takes two thirds
//! of all that rounding the weights costs; layers that weigh different channels lose by it.

use tch::{Kind, Tensor};

/// Whether a weight `[outputs, inputs of each group, rows, columns]` is of a convolution of each
/// channel by itself.
pub(crate) fn is_depthwise(shape: &[i64]) -> bool {
    matches!(shape, [_, 1, rows, columns] if rows * columns > 1)
}

/// # Shapes
/// - `weight`: `[C, 1, rows, columns]` f32
/// - returns the same in bf16
pub(crate) fn in_bf16(weight: &Tensor) -> Tensor {
    let kernels = weight.flatten(1, -1); // [C, rows · columns]
    let mut carried = kernels.select(1, 0).zeros_like();
    let rounded: Vec<Tensor> = (0..kernels.size()[1])
        .map(|position| {
            let wanted = kernels.select(1, position) + &carried;
            let rounded = wanted.to_kind(Kind::BFloat16);
            carried = wanted - rounded.to_kind(Kind::Float);
            rounded
        })
        .collect();
    Tensor::stack(&rounded, 1).reshape(weight.size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::tensors::{from_slice_f32, to_vec_f32};

    #[test]
    fn the_sum_of_a_kernel_stays_where_rounding_alone_would_move_it() {
        // A step between 1 and 2 is 1/128: each weight lies 0.4 steps above one that bf16 holds.
        let weight = from_slice_f32(&[1, 1, 3, 3], &[1.0 + 0.4 / 128.0; 9]);
        let sum = |weight: &Tensor| to_vec_f32(&weight.to_kind(Kind::Float)).iter().sum::<f32>();
        let error = |rounded: &Tensor| (sum(rounded) - sum(&weight)).abs() * 128.0;
        assert!(error(&weight.to_kind(Kind::BFloat16)) > 3.0);
        let diffused = in_bf16(&weight);
        assert_eq!(
            (diffused.kind(), diffused.size()),
            (Kind::BFloat16, weight.size())
        );
        assert!(error(&diffused) < 0.51, "{}", error(&diffused));
    }

    #[test]
    fn only_convolutions_of_each_channel_by_itself_are_depthwise() {
        assert!(is_depthwise(&[32, 1, 3, 3]));
        for other in [&[32, 16, 3, 3][..], &[32, 1, 1, 1], &[32, 1], &[32]] {
            assert!(!is_depthwise(other));
        }
    }
}
