//! The kinds of stages, one file each: read inputs, call imaging or learn, write the artifact. This file is the registry.
//!
//! A kind's declaration is apart from its work, and the works that need tensors are apart from the others, so that a binary
//! which names no tensor work is not linked against libtorch.

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

use seedpipe_engine::{Kind, WorkFunction, kind, work};

pub use ingest::survey::{Survey, survey};
pub use report::PAGE;

/// Every kind.
pub fn declared() -> Vec<Kind> {
    vec![
        kind::<ingest::Ingest>(),
        kind::<augment::Augment>(),
        kind::<pretrain::Pretrain>(),
        kind::<encode::Encode>(),
        kind::<distill::Distill>(),
        kind::<finetune::Finetune>(),
        kind::<probe::Probe>(),
        kind::<knn::Knn>(),
        kind::<export::Export>(),
        kind::<report::Report>(),
    ]
}

/// The works that need no tensors.
pub fn light_works() -> Vec<(&'static str, WorkFunction)> {
    vec![
        work::<ingest::Ingest>(),
        work::<augment::Augment>(),
        work::<report::Report>(),
    ]
}

/// The works that need libtorch.
pub fn tensor_works() -> Vec<(&'static str, WorkFunction)> {
    vec![
        work::<pretrain::Pretrain>(),
        work::<encode::Encode>(),
        work::<distill::Distill>(),
        work::<finetune::Finetune>(),
        work::<probe::Probe>(),
        work::<knn::Knn>(),
        work::<export::Export>(),
    ]
}
