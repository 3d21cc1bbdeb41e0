//! Beginning: a first pipeline, this machine, and the manual.

pub mod calibrate;
pub mod doctor;
pub mod init;
pub mod manual;
pub mod reference;
pub mod schema;
