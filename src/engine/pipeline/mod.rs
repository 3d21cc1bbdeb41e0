//! pipeline.yaml as a checked [`project`]: read ([`spec`]), changed by `--set` ([`overrides`]),
//! multiplied ([`matrix`]), its connections and params checked ([`checker`]) and ordered
//! ([`plan`]); which of its stages differ only in some keys ([`grouping`]); and the lock file
//! beside it.

pub(crate) mod checker;
pub(crate) mod grouping;
pub(crate) mod lock_at;
pub(crate) mod matrix;
pub(crate) mod matrix_axes;
pub(crate) mod overrides;
pub(crate) mod pipeline_lock;
pub(crate) mod plan;
pub(crate) mod project;
pub(crate) mod remote_spec;
pub(crate) mod spec;
