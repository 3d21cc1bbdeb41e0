//! Words and tools that every room uses: digests and canonical JSON, YAML that knows its lines,
//! files written durably, input that is not trusted, suggestions for misspelt words, the wish to
//! stop, fault points for tests, random numbers by key.

pub mod cancel;
pub(crate) mod canonical;
pub mod clock;
pub(crate) mod digest;
pub mod durable;
pub mod fault;
pub(crate) mod random;
pub(crate) mod suggestion;
pub(crate) mod untrusted;
pub(crate) mod yaml;
