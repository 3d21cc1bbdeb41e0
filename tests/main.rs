//! Drives the binaries in temporary directories, as a user does.

mod bad_input;
mod commands;
mod remote;
mod resume;
mod sandbox;
mod startup;
