//! Autocast to bf16, as PyTorch's `torch.autocast`: convolutions and linear layers compute in bf16, weights stay f32.
//!
//! The state belongs to the thread: a guard can't be sent to another one.

use std::marker::PhantomData;

use tch::Device;

use crate::shim::{self, AutocastBefore};

/// Autocast is on for this thread as long as this lives; the outermost one forgets the cast weights at its end.
pub struct Bf16Autocast {
    before: AutocastBefore,
    this_thread: PhantomData<*const ()>,
}

impl Bf16Autocast {
    pub fn enter(device: Device) -> Self {
        let before = shim::autocast_enter(device)
            .unwrap_or_else(|error| panic!("BUG: autocast could not be entered: {error}"));
        Self {
            before,
            this_thread: PhantomData,
        }
    }
}

impl Drop for Bf16Autocast {
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
    fn products_are_bf16_inside_the_guard_only() {
        let a = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        let b = Tensor::ones([3, 2], (Kind::Float, Device::Cpu));
        {
            let _outer = Bf16Autocast::enter(Device::Cpu);
            {
                let _inner = Bf16Autocast::enter(Device::Cpu);
                assert_eq!(a.matmul(&b).kind(), Kind::BFloat16);
            }
            assert_eq!(a.matmul(&b).kind(), Kind::BFloat16);
        }
        assert_eq!(a.matmul(&b).kind(), Kind::Float);
    }
}
