//! A world that is broken or lies: failing disks and stages, damaged and false files.

mod faults;
mod lying;
mod repairing;
mod untrusted;
