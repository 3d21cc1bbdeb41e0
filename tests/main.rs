//! Drives the binaries in temporary directories, as a user does.

mod bad_input;
mod book;
mod commands;
mod decoding;
mod export;
mod extending;
mod faults;
mod first_hour;
mod imported;
mod objectives;
mod own_classifier;
mod progress;
mod real_weights;
mod remote;
mod report;
mod reproducibility;
mod requirements;
mod resume;
mod reuse;
mod rooms;
mod sandbox;
mod startup;
mod supervised;
