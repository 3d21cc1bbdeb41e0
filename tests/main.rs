//! Drives the binaries in temporary directories, as a user does.

mod bad_input;
mod commands;
mod faults;
mod remote;
mod reproducibility;
mod export;
mod resume;
mod sandbox;
mod startup;
