//! The engine on toy kinds: plain text files as parts, and a codec that hashes their bytes.

mod collecting;
mod concurrency;
mod faults;
mod looking;
mod lying;
mod running;
mod sharing;
mod shelf;
mod spec_errors;
mod toy;
mod world;
