//! Drives the binaries in temporary directories, as a user does.

mod bad_input;
mod commands;
mod export;
mod resume;
mod sandbox;
mod startup;
