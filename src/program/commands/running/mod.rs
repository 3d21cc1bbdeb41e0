//! Running a pipeline: what runs, why, and how far it is.

pub mod explain;
pub mod graph;
pub mod run;
pub mod status;
mod watch;
pub mod worker;
