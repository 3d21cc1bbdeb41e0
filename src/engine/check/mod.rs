//! Looking after what is kept: hashing it again ([`verify`]) and repairing ([`repair`]), making it
//! again and comparing ([`rerun`]), removing what nobody needs ([`gc`]), and what is left of runs
//! that did not end ([`unfinished`]).

pub(crate) mod gc;
pub(crate) mod gc_roots;
pub(crate) mod repair;
pub(crate) mod rerun;
pub(crate) mod shared_file;
pub(crate) mod unfinished;
pub(crate) mod verify;
