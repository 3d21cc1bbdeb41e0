//! Matrix products of what is compared by the million: queue, bank and features.
//!
//! On a CPU in f32 oneDNN computes them, whose kernels use all of an AMD processor's width, unlike
//! MKL's: 240 to 280 against 120 Gflop/s a core of a Zen 5 (`tests/peers/README.md`). Other kinds
//! and devices, and a libtorch without oneDNN, take libtorch's own product. Where an AVX2 processor
//! has no AVX-512, kNN and the losses over a queue use `panels` in their place.

use std::sync::LazyLock;

use tch::{Device, Kind, Tensor};

use crate::torch::packed;

/// `a · bᵀ`, outside of any graph. A row's bits depend on that row and the shapes alone, if one
/// thread computes them.
///
/// # Shapes
/// - `a`: `[M, D]`, `b`: `[N, D]`, contiguous or transposed; returns `[M, N]`
pub(crate) fn times_transposed(a: &Tensor, b: &Tensor) -> Tensor {
    static ONEDNN: LazyLock<bool> = LazyLock::new(|| packed::works(Kind::Float));
    let fits = a.kind() == Kind::Float && a.device() == Device::Cpu;
    if fits
        && a.numel() > 0
        && b.numel() > 0
        && *ONEDNN
        && let Ok(product) = packed::linear(a, b, None, None)
    {
        return product;
    }
    a.matmul(&b.tr())
}

/// What the numerics class says where kNN and the losses over a queue work by `panels` instead.
pub(crate) fn word() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let is_by_panels = crate::torch::panels::Avx2::chosen().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    let is_by_panels = false;
    is_by_panels.then_some("panels")
}

/// The values of a contiguous tensor on the CPU, where they lie.
///
/// # Panics
/// If it is of another kind, elsewhere or not contiguous.
pub(crate) fn values<T: tch::kind::Element>(tensor: &Tensor) -> &[T] {
    assert!(
        tensor.kind() == T::KIND && tensor.device() == Device::Cpu && tensor.is_contiguous(),
        "BUG: values of a {:?} tensor on {:?}",
        tensor.kind(),
        tensor.device()
    );
    if tensor.numel() == 0 {
        return &[];
    }
    // SAFETY: a contiguous tensor on the CPU is `numel` initialised elements of its kind from
    // `data_ptr` on, which the storage keeps alive as long as the tensor is borrowed. Nobody in
    // this crate writes to a tensor whose values are borrowed.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<T>(), tensor.numel()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::one_thread::with_one_thread;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    #[test]
    fn it_is_the_product_in_f64_up_to_f32s_rounding() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, width, columns) in [(1, 1, 1), (3, 7, 5), (64, 128, 1024), (70, 33, 129)] {
            let (a, b) = (
                normal(&[rows, width], &mut rng),
                normal(&[columns, width], &mut rng),
            );
            let expected = a
                .to_kind(Kind::Double)
                .matmul(&b.to_kind(Kind::Double).tr());
            let transposed = b.tr().contiguous();
            for product in [
                times_transposed(&a, &b),
                times_transposed(&a, &transposed.tr()),
            ] {
                let error = (product.to_kind(Kind::Double) - &expected).abs().max();
                assert!(error.double_value(&[]) < 1e-4, "{rows} {width} {columns}");
            }
        }
    }

    #[test]
    fn a_rows_bits_do_not_depend_on_its_neighbours() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (a, b) = (normal(&[64, 40], &mut rng), normal(&[300, 40], &mut rng));
        let (whole, moved) = with_one_thread(|| {
            (
                times_transposed(&a, &b),
                times_transposed(&a.roll([5], [0]), &b),
            )
        });
        assert_eq!(whole.roll([5], [0]), moved);
    }

    #[test]
    fn no_rows_give_no_rows() {
        let rows = Tensor::zeros([0, 3], (Kind::Float, Device::Cpu));
        let others = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        assert_eq!(times_transposed(&rows, &others).size(), [0, 2]);
        assert_eq!(times_transposed(&others, &rows).size(), [2, 0]);
        assert_eq!(values::<f32>(&rows), &[] as &[f32]);
        assert_eq!(values::<f32>(&others), &[1.0; 6]);
    }
}
