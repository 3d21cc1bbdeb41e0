//! What commands do with networks outside a pipeline's run. A program that is not linked with libtorch has none of it.

use anyhow::Result;

use crate::deliverable::{self, Deliverable, Manner, Sources};

/// The functions that need libtorch.
#[derive(Clone, Copy)]
pub struct Tools {
    pub export: fn(&Sources, &Manner) -> Result<Deliverable>,
}

/// Named by `seedpipe-torch` alone.
pub fn tensor_tools() -> Tools {
    Tools {
        export: deliverable::deliver,
    }
}
