//! The Rust side of `shim/torchscript.cpp`.

use std::ffi::{CString, c_char, c_uchar, c_void};
use std::{ptr, slice};

use tch::Tensor;

use crate::torch::shim;

pub(super) struct NamedValue<'name> {
    /// With dots between modules.
    pub name: &'name str,
    pub tensor: Tensor,
    pub trainable: bool,
}

unsafe extern "C" {
    fn seedpipe_free(text: *mut c_char);
    fn seedpipe_torchscript(
        source: *const c_char,
        names: *const *const c_char,
        tensors: *const *mut c_void,
        trainable: *const c_uchar,
        count: usize,
        extra_names: *const *const c_char,
        extra_texts: *const *const c_char,
        extra_count: usize,
        bytes: *mut *mut c_char,
        length: *mut usize,
    ) -> *mut c_char;
}

/// Compiles `source` over the tensors and serialises the module; errors are libtorch's words.
pub(super) fn compile(
    source: &str,
    tensors: &[NamedValue],
    extra: &[(String, String)],
) -> Result<Vec<u8>, String> {
    let text = |text: &str| CString::new(text).map_err(|_| format!("`{text}` holds a zero byte"));
    let all = |texts: Vec<&str>| texts.into_iter().map(text).collect::<Result<Vec<_>, _>>();
    let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
    let source = text(source)?;
    let names = all(tensors.iter().map(|named| named.name).collect())?;
    let extra_names = all(extra.iter().map(|(name, _)| name.as_str()).collect())?;
    let extra_texts = all(extra.iter().map(|(_, text)| text.as_str()).collect())?;
    let handles: Vec<*mut c_void> = tensors
        .iter()
        .map(|named| named.tensor.as_ptr() as *mut c_void)
        .collect();
    let trainable: Vec<c_uchar> = tensors.iter().map(|named| named.trainable.into()).collect();
    let (mut bytes, mut length) = (ptr::null_mut(), 0);
    // SAFETY: every pointer is to memory of this frame that outlives the call, the tensors' handles
    // are live, and the counts are the arrays' lengths.
    shim::outcome(unsafe {
        seedpipe_torchscript(
            source.as_ptr(),
            pointers(&names).as_ptr(),
            handles.as_ptr(),
            trainable.as_ptr(),
            tensors.len(),
            pointers(&extra_names).as_ptr(),
            pointers(&extra_texts).as_ptr(),
            extra.len(),
            &mut bytes,
            &mut length,
        )
    })?;
    // SAFETY: on success `bytes` is a malloc'd block of `length` bytes, copied and then freed once.
    unsafe {
        let file = slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
        seedpipe_free(bytes);
        Ok(file)
    }
}
