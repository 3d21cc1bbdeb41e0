//! Other machines: what the remote has ([`offer`]), how an artifact is fetched and checked
//! ([`fetch`]), and the commands [`pull`] and [`push`].

pub(crate) mod fetch;
pub(crate) mod hashed_file;
pub(crate) mod offer;
pub(crate) mod pull;
pub(crate) mod push;
