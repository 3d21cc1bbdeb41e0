//! Order, recipes, cache, locks and resume of seedpipe's stages.
//!
//! One way through: `pipeline.yaml` → [`Project`] → plan → for each stage: [`Recipe`] → cached? →
//! else run shards → publish an [`Artifact`] → `pipeline.lock`. The engine knows no Arrow, no
//! tensors and no images: what an artifact's files mean it asks of a [`Codec`], and what a kind
//! does it asks of the [`Registry`].
//!
//! The rooms, each knowing only those before it: `base`, `cache`, `kind`, `pipeline`, `run`,
//! `lockfile`, `share`, `check`.

mod base;
mod cache;
mod check;
mod kind;
mod lockfile;
mod pipeline;
mod run;
mod share;

pub use base::aside::{self, Aside};
pub use base::cancel::Cancelled;
pub use base::digest::Digest;
pub use base::held::unique_name;
pub use base::random::keyed_rng;
pub use base::yaml::yaml_value;
pub use base::{cancel, child, clock, durable, fault, waiting};
pub use cache::artifact::Artifact;
pub use cache::left::{Left, Next, Reached};
pub use cache::manifest::{Manifest, OutputRecord, PartRecord, Telemetry};
pub use cache::processes::locks::Holder;
pub use cache::processes::progress_file;
pub use cache::recipe::{Change, Recipe};
pub use cache::remote::Remote;
pub use cache::source::{FileChange, FileChanged};
pub use cache::walk;
pub use check::gc::{GcItem, GcOptions, GcReport, GcWhat};
pub use check::repair::{Repair, Repaired};
pub use check::rerun::{RerunOptions, RerunOutput, RerunReport, RerunStage, Verdict};
pub use check::unfinished::Unfinished;
pub use check::verify::{FileFault, VerifiedArtifact, VerifyReport, VerifyScope};
pub use kind::context::{Ancestor, Input, Shard, StageContext};
pub use kind::earlier::{Earlier, StoredFile};
pub use kind::observer::{Event, Measured, MeasuredOver, Observer, Progress, Silent};
pub use kind::purpose::{Column, Purpose, Training};
pub use kind::reference::Reference;
pub use kind::registry::{Kind, Registry};
pub use kind::report::{ContentDifference, Outcome, RunReport, StageReport};
pub use kind::said::{Teller, listen};
pub use kind::sample::Sample;
pub use kind::share::Share;
pub use kind::stage::{
    Arity, Codec, Connection, Content, Demanded, InputKinds, InputSlot, Judging, OutputSlot, Stage,
    Work,
};
pub use lockfile::contents::{Agreement, SeenContent, TwoContents};
pub use lockfile::locked::{LockMismatch, Mismatch, StageMismatch};
pub use lockfile::present::LockedArtifacts;
pub use pipeline::grouping::{GroupedStage, Grouping, Groups, SEED};
pub use pipeline::lock_at::lock_at;
pub use pipeline::pipeline_lock::{LockedStage, PipelineLock};
pub use pipeline::project::{Project, StageNode, StagePrecision};
pub use pipeline::remote_spec::{RemoteOrigin, RemoteSpec};
pub use run::engine::{Engine, NumericsOf, OnlyPlans, RunOptions, Tell};
pub use run::executor::{Executor, Task};
pub use run::explain::Explanation;
pub use run::graph::GraphFormat;
pub use run::status::{StageState, StageStatus};
pub use run::worker::Worker;
pub use share::pull::{PullOutcome, PullReport, PulledStage};
pub use share::push::{PushOptions, PushReport, PushedArtifact, RemoteConflict};

/// What stages' tests need to run a stage without a pipeline.
pub use rand_chacha::ChaCha8Rng;
