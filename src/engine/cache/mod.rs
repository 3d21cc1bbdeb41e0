//! What is kept on disk. A [`recipe`] names an artifact by its fingerprint; a [`draft`] grows shard
//! by shard until it is whole and published into the [`store`], and [`left`] says how far an
//! interrupted one is; a [`source`] is a file or folder outside, known by its digest, and [`walk`]
//! says which files a folder has. Beside an artifact lies its [`manifest`]; a [`seal`] says when
//! its files were last found whole. [`remote`] is what the engine asks of another store,
//! [`stat_cache`] says which sources need no hashing. What [`processes`] leave for each other lies
//! beside.

pub(crate) mod artifact;
pub(crate) mod draft;
pub(crate) mod left;
pub(crate) mod manifest;
pub mod processes;
pub(crate) mod recipe;
pub(crate) mod remote;
pub(crate) mod scratch;
pub(crate) mod seal;
pub(crate) mod source;
pub(crate) mod stat_cache;
pub(crate) mod store;
pub mod walk;
