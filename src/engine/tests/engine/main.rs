//! The engine on toy kinds: plain text files as parts, and a codec that hashes their bytes.

mod again;
mod beside;
mod collecting;
mod damage;
mod elsewhere;
mod looking;
mod matrix;
mod running;
mod sharing;
mod shelf;
mod spec_errors;
mod targets;
mod toy;
mod world;
