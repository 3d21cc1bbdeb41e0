//! Looking at what came out.

mod confusion;
mod grouped;
pub mod metrics;
pub mod params;
pub mod preview;
pub mod report;
pub mod show;
