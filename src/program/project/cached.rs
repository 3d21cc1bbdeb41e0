//! What a command needs of the cache.

use anyhow::{Result, bail};
use seedpipe_base::Refusal;
use seedpipe_engine::{Artifact, Engine};

pub const TO_SHOW: &str = "there is nothing to show";
pub const TO_EXPORT: &str = "there is nothing to export";

/// The stage's current artifact; a stage without one is refused.
///
/// - `so`: what follows from that, such as [`TO_SHOW`]
pub fn cached(engine: &Engine, stage: &str, so: &str) -> Result<Artifact> {
    let Some(artifact) = engine.find(stage)? else {
        bail!(
            Refusal::failure(format!("stage `{stage}` is not cached, so {so}"))
                .hint(format!("run `seedpipe run {stage}`"))
        );
    };
    Ok(artifact)
}
