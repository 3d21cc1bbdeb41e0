//! What a running pipeline shows: the live tree, plain lines and JSON lines ([`console`]),
//! TensorBoard's files; how long stages [`beside`] each other take; and how a run is stopped
//! ([`interrupt`]).

pub(crate) mod beside;
pub(crate) mod console;
pub(crate) mod interrupt;
pub(crate) mod tensorboard;
