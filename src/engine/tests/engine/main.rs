//! The engine on toy kinds: plain text files as parts, and a codec that hashes their bytes.

mod again;
mod beside;
mod collecting;
mod elsewhere;
mod faults;
mod looking;
mod lying;
mod matrix;
mod repairing;
mod running;
mod sharing;
mod shelf;
mod spec_errors;
mod targets;
mod toy;
mod untrusted;
mod world;
