//! The kinds of stages, one file each: read inputs, call imaging or learn, write the artifact. This file is the registry
//! (docs/extending.md).
//!
//! A kind's declaration is apart from its work, so that a binary which leaves out the works that need tensors is not linked
//! against libtorch.

mod augment;
mod batches;
pub mod confusion;
pub mod contact_sheet;
pub mod deliverable;
mod distill;
mod encode;
mod encoder;
mod encoding;
mod evaluation;
mod export;
mod feed;
mod finetune;
mod ingest;
pub mod inspection;
mod invalid;
mod knn;
pub mod looking;
mod looks;
mod network_artifact;
pub mod network_list;
mod objectives;
mod pictures;
mod pretrain;
mod probe;
pub mod report;
pub mod results;
mod reuse;
mod rounding;
mod selection;
mod soft_labels;
pub mod speed;
pub mod storage;
pub mod stored;
pub mod tools;
mod training;
mod view_list;
mod viewed;

use seedpipe_engine::{Registry, Work};

pub use ingest::survey::{Survey, survey};
pub use report::PAGE;

/// Every kind; the works of those that need libtorch are left out, so that the linker can leave out libtorch.
pub fn light_registry() -> Registry {
    kinds::<false>()
}

/// Every kind and every work.
pub fn whole_registry() -> Registry {
    kinds::<true>()
}

/// One line a kind.
fn kinds<const TENSORS: bool>() -> Registry {
    Kinds::<TENSORS>(Registry::new())
        .add::<ingest::Ingest>()
        .add::<augment::Augment>()
        .add::<pretrain::Pretrain>()
        .add::<encode::Encode>()
        .add::<distill::Distill>()
        .add::<finetune::Finetune>()
        .add::<probe::Probe>()
        .add::<knn::Knn>()
        .add::<export::Export>()
        .add::<report::Report>()
        .0
}

struct Kinds<const TENSORS: bool>(Registry);

impl<const TENSORS: bool> Kinds<TENSORS> {
    /// The condition is constant: where it is false, nothing refers to the work.
    fn add<S: Work>(self) -> Self {
        let works = TENSORS || !S::TENSORS;
        Self(if works {
            self.0.with::<S>()
        } else {
            self.0.declaring::<S>()
        })
    }
}
