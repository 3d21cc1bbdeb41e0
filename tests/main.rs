//! Drives the binaries in temporary directories, as a user does.

mod bad_input;
mod book;
mod commands;
mod export;
mod faults;
mod first_hour;
mod objectives;
mod own_classifier;
mod real_weights;
mod remote;
mod reproducibility;
mod resume;
mod reuse;
mod sandbox;
mod startup;
mod supervised;
