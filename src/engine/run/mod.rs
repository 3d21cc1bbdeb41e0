//! Running. The [`engine`] looks up what is cached ([`resolve`]), makes the rest in order
//! ([`execute`]), several at once and by others where there is an [`executor`], and says what would
//! run and why ([`status`], [`explain`]). What the others do is a [`worker`]'s.

pub(crate) mod engine;
pub(crate) mod execute;
pub(crate) mod executor;
pub(crate) mod explain;
pub(crate) mod given;
pub(crate) mod graph;
pub(crate) mod resolve;
pub(crate) mod schedule;
pub(crate) mod session;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod unfinished;
pub(crate) mod worker;
