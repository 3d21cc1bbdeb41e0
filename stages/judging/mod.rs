//! What networks make of plain images, for everything that judges: features and logits
//! ([`evaluation`]), what answers are worth ([`scores`]), and teachers' probabilities
//! ([`soft_labels`]).

pub(crate) mod evaluation;
pub(crate) mod scores;
pub(crate) mod soft_labels;
