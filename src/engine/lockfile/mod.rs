//! What runs are held to: one recipe has one content. Compares a run with pipeline.lock
//! ([`locked`]), with what was seen before ([`contents`]), with another lock ([`against`]), and the
//! cache with it ([`present`]).

pub(crate) mod against;
pub(crate) mod contents;
pub(crate) mod fields;
pub(crate) mod locked;
pub(crate) mod present;
