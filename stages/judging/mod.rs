//! What networks make of plain images, for everything that judges: features and logits
//! ([`evaluation`]), and teachers' probabilities ([`soft_labels`]).

pub(crate) mod evaluation;
pub(crate) mod soft_labels;
