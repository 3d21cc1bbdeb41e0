//! Embeddings that are a classifier's logits say so in their metadata.

use seedpipe_artifact::EmbeddingsHeader;

/// Key of the embeddings' metadata that says so when they are logits.
pub const OUTPUT: &str = "output";
pub const LOGITS: &str = "logits";

/// Whether stored embeddings are a classifier's logits.
pub fn holds_logits(header: &EmbeddingsHeader) -> bool {
    header
        .extra
        .get(OUTPUT)
        .is_some_and(|output| output == LOGITS)
}
