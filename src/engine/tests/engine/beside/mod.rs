//! What runs beside each other: runs on one cache, and the workers of one run.

mod runs;
mod workers;
