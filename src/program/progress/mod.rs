//! What a running pipeline shows: the live tree, plain lines and JSON lines ([`console`]),
//! TensorBoard's files; and how it is stopped ([`interrupt`]).

pub(crate) mod console;
pub(crate) mod interrupt;
pub(crate) mod tensorboard;
