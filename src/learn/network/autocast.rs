//! Autocast to bf16 or f16, as PyTorch's `torch.autocast`: convolutions and linear layers compute
//! in it, weights stay f32. The same on a CPU and on CUDA.
//!
//! The state belongs to the thread: a guard can't be sent to another one.

use std::marker::PhantomData;

use tch::Device;

use crate::network::Precision;
use crate::torch::shim::{self, AutocastBefore};

/// Autocast is on for this thread as long as this lives; the outermost one forgets the cast weights
/// at its end.
pub struct Autocast {
    before: AutocastBefore,
    this_thread: PhantomData<*const ()>,
}

impl Autocast {
    /// None for f32, which needs no autocast.
    pub fn enter(device: Device, precision: Precision) -> Option<Self> {
        let half = match precision {
            Precision::F32 => return None,
            Precision::Bf16 => false,
            Precision::F16 => true,
        };
        let before = shim::autocast_enter(device, half)
            .unwrap_or_else(|error| panic!("BUG: autocast could not be entered: {error}"));
        Some(Self {
            before,
            this_thread: PhantomData,
        })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        if let Err(error) = shim::autocast_leave(&self.before) {
            // A panic while another one unwinds would abort without a message.
            eprintln!("warning: autocast could not be left: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn products_are_rounded_inside_the_guard_only() {
        let a = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        let b = Tensor::ones([3, 2], (Kind::Float, Device::Cpu));
        {
            let _outer = Autocast::enter(Device::Cpu, Precision::Bf16);
            {
                let _inner = Autocast::enter(Device::Cpu, Precision::F16);
                assert_eq!(a.matmul(&b).kind(), Kind::Half);
            }
            assert_eq!(a.matmul(&b).kind(), Kind::BFloat16);
        }
        assert_eq!(a.matmul(&b).kind(), Kind::Float);
        assert!(Autocast::enter(Device::Cpu, Precision::F32).is_none());
    }
}
