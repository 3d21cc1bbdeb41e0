//! Order, recipes, cache, locks and resume of seedpipe's stages.
//!
//! One way through: `pipeline.yaml` → [`Project`] → plan → for each stage: [`Recipe`] → cached? → else run shards →
//! publish an [`Artifact`] → `pipeline.lock`. The engine knows no Arrow, no tensors and no images: what an artifact's
//! files mean it asks of a [`Codec`], and what a kind does it asks of the [`Registry`].

mod artifact;
mod bytes;
pub mod cancel;
mod canonical;
mod checker;
mod clock;
mod context;
mod digest;
mod draft;
mod durable;
mod engine;
mod execute;
mod explain;
mod gc;
mod graph;
mod history;
mod layout;
mod lease;
mod locks;
mod manifest;
mod observer;
mod overrides;
mod parameters;
mod pipeline_error;
mod pipeline_lock;
mod plan;
mod project;
mod random;
mod recipe;
mod registry;
mod report;
mod resolve;
mod session;
mod source;
mod spec;
mod stage;
mod stat_cache;
mod status;
mod store;
mod suggestion;
mod verify;

pub use artifact::Artifact;
pub use cancel::Cancelled;
pub use context::{Ancestor, Input, Shard, StageContext};
pub use digest::{Digest, DigestError};
pub use durable::write as write_durably;
pub use engine::{Engine, RunOptions};
pub use explain::Explanation;
pub use gc::{GcItem, GcOptions, GcReport, GcWhat};
pub use graph::GraphFormat;
pub use locks::Holder;
pub use manifest::{Manifest, OutputRecord, PartRecord, Telemetry};
pub use observer::{Observer, Progress, Silent};
pub use pipeline_error::{Invalid, PipelineError};
pub use pipeline_lock::{LockedStage, PipelineLock};
pub use project::{Connection, Project, StageNode};
pub use random::keyed_rng;
pub use recipe::{Change, Recipe};
pub use registry::{Kind, Registry, WorkFunction, kind, work};
pub use report::{ContentDifference, Outcome, RunReport, StageReport};
pub use stage::{Arity, Codec, Content, InputKinds, InputSlot, OutputSlot, Stage, Work};
pub use status::{StageState, StageStatus};
pub use verify::{FileFault, VerifiedArtifact, VerifyReport, VerifyScope};

/// What stages' tests need to run a stage without a pipeline.
pub use rand_chacha::ChaCha8Rng;
