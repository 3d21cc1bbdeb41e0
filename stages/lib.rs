//! The kinds of stages: read inputs, call imaging or learn, write the artifact. This file is the
//! registry (docs/extending.md).
//!
//! A kind's declaration is apart from its work, so that a binary which leaves out the works that
//! need tensors is not linked against libtorch.
//!
//! The rooms, each knowing only those before it: `shared`, `pixels`, `judging`, `training`; then a
//! room for each kind; then `tools`, what commands ask about stages and networks.

mod agreement;
mod augment;
mod distill;
mod encode;
mod export;
mod finetune;
mod import;
mod ingest;
mod judging;
mod knn;
mod pixels;
mod pretrain;
mod probe;
pub mod report;
mod shared;
pub mod tools;
mod training;

use seedpipe_engine::{Registry, Work};

pub use export::{Export, deliverable};
pub use ingest::{is_table, survey::Survey, survey::survey};
pub use pixels::contact_sheet;
pub use report::PAGE;
pub use shared::network_source::{Weights, network_of};
pub use shared::{confusion, fitting::Guess, image_folder, results};
pub use tools::{
    calibration, evaluation, inspection, memory, near_pairs, network_list, predictor, speed,
    storage, stored, workload,
};

/// Every kind; the works of those that need libtorch are left out, so that the linker can leave out
/// libtorch.
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
        .add::<import::Import>()
        .add::<pretrain::Pretrain>()
        .add::<encode::Encode>()
        .add::<distill::Distill>()
        .add::<finetune::Finetune>()
        .add::<probe::Probe>()
        .add::<knn::Knn>()
        .add::<agreement::Agreement>()
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
