//! What several kinds share: networks as artifacts ([`network_artifact`]), which images are meant
//! ([`selection`]), refusals of params ([`invalid`]), what every stage of a pipeline gave
//! ([`results`]).

pub mod confusion;
pub(crate) mod invalid;
pub(crate) mod logits;
pub(crate) mod network_artifact;
pub(crate) mod objectives;
pub mod results;
pub(crate) mod selection;
