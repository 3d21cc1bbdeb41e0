//! The Rust side of `shim/packed.cpp`: convolutions and linear layers with weights in oneDNN's own
//! layout, fused with bias, sum and activation. Processor only; forward only. Errors are libtorch's
//! own words.

use std::ffi::{CStr, c_char, c_double, c_int, c_void};
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::graph::{Activation, Convolution, Initial};
use crate::torch::shim::outcome;

unsafe extern "C" {
    fn seedpipe_has_onednn() -> c_int;
    fn seedpipe_pack_convolution(
        weight: *mut c_void,
        padding: i64,
        stride: i64,
        groups: i64,
        input_size: *const i64,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    fn seedpipe_convolution(
        input: *mut c_void,
        weight: *mut c_void,
        bias: *mut c_void,
        padding: i64,
        stride: i64,
        groups: i64,
        attribute: *const c_char,
        values: *const c_double,
        value_count: c_int,
        algorithm: *const c_char,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    fn seedpipe_convolution_sum(
        other: *mut c_void,
        in_place: c_int,
        input: *mut c_void,
        weight: *mut c_void,
        bias: *mut c_void,
        padding: i64,
        stride: i64,
        groups: i64,
        attribute: *const c_char,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    fn seedpipe_pack_linear(
        weight: *mut c_void,
        rows: i64,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    fn seedpipe_linear(
        input: *mut c_void,
        weight: *mut c_void,
        bias: *mut c_void,
        attribute: *const c_char,
        algorithm: *const c_char,
        result: *mut *mut c_void,
    ) -> *mut c_char;
}

/// Whether this libtorch has oneDNN, and this processor can do it in that kind.
pub(crate) fn works(kind: Kind) -> bool {
    // SAFETY: reads a flag.
    if unsafe { seedpipe_has_onednn() } == 0 {
        return false;
    }
    let layer = Convolution::new(1, 1, 1, 1, Initial::Constant(1.0));
    let one = Tensor::ones([1, 1, 1, 1], (kind, Device::Cpu));
    let run = || {
        let weight = pack_convolution(&layer, &one, &one)?;
        convolution(&layer, &one, &weight, None, None)
    };
    run().is_ok()
}

fn pointer(tensor: &Tensor) -> *mut c_void {
    tensor.as_ptr() as *mut c_void
}

fn optional(tensor: Option<&Tensor>) -> *mut c_void {
    tensor.map_or(ptr::null_mut(), pointer)
}

/// The tensor that a shim function writes into its last argument.
fn received(call: impl FnOnce(*mut *mut c_void) -> *mut c_char) -> Result<Tensor, String> {
    let mut result = ptr::null_mut();
    outcome(call(&mut result))?;
    // SAFETY: on success the shim has written a new `at::Tensor *`, owned by the returned Tensor
    // alone.
    Ok(unsafe { Tensor::from_ptr(result as *mut C_tensor) })
}

/// oneDNN's name of an activation, its numbers and its algorithm.
fn attribute(activation: Option<Activation>) -> (&'static CStr, &'static [f64], &'static CStr) {
    match activation {
        None => (c"none", &[], c""),
        Some(Activation::Relu) => (c"relu", &[], c""),
        Some(Activation::Relu6) => (c"hardtanh", &[0.0, 6.0], c""),
        Some(Activation::Hardswish) => (c"hardswish", &[], c""),
        Some(Activation::Hardsigmoid) => (c"hardsigmoid", &[], c""),
        Some(Activation::Sigmoid) => (c"sigmoid", &[], c""),
        Some(Activation::Silu) => (c"swish", &[], c""),
        Some(Activation::Gelu) => (c"gelu", &[], c"none"),
    }
}

/// The weight in oneDNN's layout for inputs of the size of `input`.
pub(crate) fn pack_convolution(
    layer: &Convolution,
    weight: &Tensor,
    input: &Tensor,
) -> Result<Tensor, String> {
    let size: [i64; 4] = input
        .size()
        .try_into()
        .map_err(|size| format!("an image has four dimensions, not {size:?}"))?;
    // SAFETY: live tensors; the size is four numbers of this frame.
    received(|result| unsafe {
        seedpipe_pack_convolution(
            pointer(weight),
            layer.padding,
            layer.stride,
            layer.groups,
            size.as_ptr(),
            result,
        )
    })
}

/// Convolution, then the activation.
pub(crate) fn convolution(
    layer: &Convolution,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor, String> {
    let (name, values, algorithm) = attribute(activation);
    // SAFETY: live tensors or null; static strings and numbers with their count.
    received(|result| unsafe {
        seedpipe_convolution(
            pointer(input),
            pointer(weight),
            optional(bias),
            layer.padding,
            layer.stride,
            layer.groups,
            name.as_ptr(),
            values.as_ptr(),
            values.len() as c_int,
            algorithm.as_ptr(),
            result,
        )
    })
}

/// What is added to a convolution's result.
pub(crate) struct Sum<'run> {
    pub other: &'run Tensor,
    /// Nobody else reads `other`: it receives the result.
    pub in_place: bool,
    pub relu: bool,
}

/// Convolution plus another value, then maybe ReLU.
pub(crate) fn convolution_sum(
    layer: &Convolution,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    sum: &Sum,
) -> Result<Tensor, String> {
    let attribute = if sum.relu {
        c"relu".as_ptr()
    } else {
        ptr::null()
    };
    // SAFETY: live tensors or null; a static string or null.
    received(|result| unsafe {
        seedpipe_convolution_sum(
            pointer(sum.other),
            sum.in_place.into(),
            pointer(input),
            pointer(weight),
            optional(bias),
            layer.padding,
            layer.stride,
            layer.groups,
            attribute,
            result,
        )
    })
}

/// The weight `[outputs, inputs]` in oneDNN's layout for inputs of as many rows as `input`.
pub(crate) fn pack_linear(weight: &Tensor, input: &Tensor) -> Result<Tensor, String> {
    let size = input.size();
    let rows = size[..size.len().saturating_sub(1)].iter().product();
    // SAFETY: a live tensor.
    received(|result| unsafe { seedpipe_pack_linear(pointer(weight), rows, result) })
}

/// Linear layer, then the activation.
pub(crate) fn linear(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor, String> {
    let (name, _, algorithm) = attribute(activation);
    // SAFETY: live tensors or null; static strings.
    received(|result| unsafe {
        seedpipe_linear(
            pointer(input),
            pointer(weight),
            optional(bias),
            name.as_ptr(),
            algorithm.as_ptr(),
            result,
        )
    })
}
