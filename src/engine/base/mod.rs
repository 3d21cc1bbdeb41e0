//! Words and tools that every room uses: digests and canonical JSON, YAML that knows its lines,
//! files written durably or held while their process lives, input that is not trusted, other
//! programs that are asked, the wish to stop, who is told of waiting, fault points for tests, random
//! numbers by key.

pub mod aside;
pub mod cancel;
pub(crate) mod canonical;
pub mod child;
pub mod clock;
pub(crate) mod digest;
pub mod durable;
pub mod fault;
pub(crate) mod held;
pub(crate) mod random;
pub(crate) mod untrusted;
pub mod waiting;
pub(crate) mod yaml;
