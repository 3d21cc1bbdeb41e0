//! What networks make of plain images, for everything that judges: features and logits
//! ([`evaluation`]), what answers are worth ([`scores`]), teachers' probabilities
//! ([`soft_labels`]), and features of views ([`view_features`]).

pub(crate) mod evaluation;
pub(crate) mod scores;
pub(crate) mod soft_labels;
pub(crate) mod view_features;
