//! The Rust side of `shim/libtorch.cpp`: safe functions over what tch does not offer. Errors are
//! libtorch's own words.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::ptr;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn seedpipe_free(text: *mut c_char);
    fn seedpipe_libtorch_version() -> *const c_char;
    fn seedpipe_cpu_capability() -> *const c_char;
    fn seedpipe_has_mkl() -> c_int;
    fn seedpipe_autocast_enter(
        cuda: c_int,
        half: c_int,
        enabled: *mut c_int,
        dtype: *mut c_int,
    ) -> *mut c_char;
    fn seedpipe_autocast_leave(cuda: c_int, enabled: c_int, dtype: c_int) -> *mut c_char;
    fn seedpipe_memory_format(
        tensor: *mut c_void,
        channels_last: c_int,
        result: *mut *mut c_void,
    ) -> *mut c_char;
    fn seedpipe_gradient_norm(
        tensors: *mut *mut c_void,
        count: c_int,
        norm: *mut f64,
    ) -> *mut c_char;
    fn seedpipe_scale_gradients(
        tensors: *mut *mut c_void,
        count: c_int,
        factor: f64,
    ) -> *mut c_char;
    fn seedpipe_backward(tensor: *mut c_void, gradient: *mut c_void) -> *mut c_char;
    fn seedpipe_grad_enabled() -> c_int;
    fn seedpipe_keep_memory();
    fn seedpipe_storage_users(tensor: *mut c_void) -> c_ulong;
    fn seedpipe_pin_memory(tensor: *mut c_void, result: *mut *mut c_void) -> *mut c_char;
    fn seedpipe_set_deterministic(on: c_int) -> *mut c_char;
    fn seedpipe_load_cuda(found: *mut c_int) -> *mut c_char;
    fn seedpipe_cuda_capability(device: c_int, major: *mut c_int, minor: *mut c_int)
    -> *mut c_char;
}

/// Takes over the message of a shim function; null means success.
pub(crate) fn outcome(message: *mut c_char) -> Result<(), String> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns a NUL-terminated string of its own (strdup), freed here once.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        seedpipe_free(message);
        Err(text)
    }
}

fn static_text(text: *const c_char) -> String {
    // SAFETY: both callers pass a NUL-terminated string that lives as long as the program.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

pub(crate) fn libtorch_version() -> String {
    // SAFETY: returns a string literal.
    static_text(unsafe { seedpipe_libtorch_version() })
}

/// The instruction set that libtorch's kernels use here: `AVX512`, `AVX2`, `DEFAULT` …
pub(crate) fn cpu_capability() -> String {
    // SAFETY: returns a pointer into a static string.
    static_text(unsafe { seedpipe_cpu_capability() })
}

/// Whether libtorch's products of matrices are MKL's.
pub(crate) fn has_mkl() -> bool {
    // SAFETY: only reads what libtorch was built with.
    unsafe { seedpipe_has_mkl() != 0 }
}

/// What autocast was set to before [`autocast_enter`].
pub(crate) struct AutocastBefore {
    cuda: c_int,
    enabled: c_int,
    dtype: c_int,
}

/// Autocast to f16 when `half`, else to bf16.
pub(crate) fn autocast_enter(device: Device, half: bool) -> Result<AutocastBefore, String> {
    let mut before = AutocastBefore {
        cuda: device.is_cuda().into(),
        enabled: 0,
        dtype: 0,
    };
    // SAFETY: both pointers are to live integers of this frame.
    outcome(unsafe {
        seedpipe_autocast_enter(
            before.cuda,
            half.into(),
            &mut before.enabled,
            &mut before.dtype,
        )
    })?;
    Ok(before)
}

pub(crate) fn autocast_leave(before: &AutocastBefore) -> Result<(), String> {
    // SAFETY: plain integers.
    outcome(unsafe { seedpipe_autocast_leave(before.cuda, before.enabled, before.dtype) })
}

/// The same values with memory laid out channels-last or row-major; shares memory when it is so
/// already.
pub(crate) fn memory_format(tensor: &Tensor, channels_last: bool) -> Result<Tensor, String> {
    let mut result = ptr::null_mut();
    // SAFETY: `as_ptr` is the live `at::Tensor` behind `tensor`; `result` receives a new one, owned
    // by the returned Tensor.
    unsafe {
        outcome(seedpipe_memory_format(
            tensor.as_ptr() as *mut c_void,
            channels_last.into(),
            &mut result,
        ))?;
        Ok(Tensor::from_ptr(result as *mut C_tensor))
    }
}

/// The 2-norm of all the gradients that the tensors have, together.
pub(crate) fn gradient_norm(tensors: &[&Tensor]) -> Result<f64, String> {
    let mut pointers = pointers(tensors);
    let mut norm = 0.0;
    // SAFETY: each pointer is to the live `at::Tensor` behind one of `tensors`, `norm` to a live
    // number of this frame.
    outcome(unsafe {
        seedpipe_gradient_norm(pointers.as_mut_ptr(), pointers.len() as c_int, &mut norm)
    })?;
    Ok(norm)
}

/// Multiplies the gradients that the tensors have, in place.
pub(crate) fn scale_gradients(tensors: &[&Tensor], factor: f64) -> Result<(), String> {
    let mut pointers = pointers(tensors);
    // SAFETY: each pointer is to the live `at::Tensor` behind one of `tensors`.
    outcome(unsafe {
        seedpipe_scale_gradients(pointers.as_mut_ptr(), pointers.len() as c_int, factor)
    })
}

fn pointers(tensors: &[&Tensor]) -> Vec<*mut c_void> {
    tensors
        .iter()
        .map(|tensor| tensor.as_ptr() as *mut c_void)
        .collect()
}

/// The backward pass from a tensor whose own gradient is given.
pub(crate) fn backward(tensor: &Tensor, gradient: &Tensor) -> Result<(), String> {
    // SAFETY: both pointers are to live `at::Tensor`s.
    outcome(unsafe {
        seedpipe_backward(
            tensor.as_ptr() as *mut c_void,
            gradient.as_ptr() as *mut c_void,
        )
    })
}

/// Keeps freed memory from now on, where the C library is glibc.
pub(crate) fn keep_memory() {
    // SAFETY: sets two numbers of the allocator.
    unsafe { seedpipe_keep_memory() }
}

/// How many tensors use the memory of this one, itself included.
pub(crate) fn storage_users(tensor: &Tensor) -> u64 {
    // SAFETY: `as_ptr` is the live `at::Tensor` behind `tensor`, which is only looked at.
    unsafe { seedpipe_storage_users(tensor.as_ptr() as *mut c_void) as u64 }
}

/// A copy in memory that a GPU reads by itself; an error without a GPU.
pub(crate) fn pin_memory(tensor: &Tensor) -> Result<Tensor, String> {
    let mut result = ptr::null_mut();
    // SAFETY: `as_ptr` is the live `at::Tensor` behind `tensor`; `result` receives a new one, owned
    // by the returned Tensor.
    unsafe {
        outcome(seedpipe_pin_memory(
            tensor.as_ptr() as *mut c_void,
            &mut result,
        ))?;
        Ok(Tensor::from_ptr(result as *mut C_tensor))
    }
}

/// Whether operations of this thread are recorded for a backward pass.
pub(crate) fn grad_enabled() -> bool {
    // SAFETY: reads a flag of this thread.
    unsafe { seedpipe_grad_enabled() != 0 }
}

pub(crate) fn set_deterministic(on: bool) -> Result<(), String> {
    // SAFETY: a plain integer.
    outcome(unsafe { seedpipe_set_deterministic(on.into()) })
}

/// Loads `libtorch_cuda.so` beside `libtorch_cpu.so`; `false` when there is none, an error when it
/// does not load.
pub(crate) fn load_cuda() -> Result<bool, String> {
    let mut found = 0;
    // SAFETY: the pointer is to a live integer of this frame.
    outcome(unsafe { seedpipe_load_cuda(&mut found) })?;
    Ok(found != 0)
}

/// Compute capability (major, minor) of a CUDA device that is in use.
pub(crate) fn cuda_capability(device: usize) -> Result<(i32, i32), String> {
    let device = c_int::try_from(device).map_err(|error| error.to_string())?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are to live integers of this frame.
    outcome(unsafe { seedpipe_cuda_capability(device, &mut major, &mut minor) })?;
    Ok((major, minor))
}
