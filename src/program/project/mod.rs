//! A user's project as the program sees it: its pipeline and remote, what its artifacts say, what
//! they will take, and how a run is told in other tools' formats.

pub(crate) mod cached;
pub(crate) mod codec;
pub(crate) mod image_files;
pub(crate) mod junit;
pub(crate) mod memory;
pub(crate) mod pipeline_file;
pub(crate) mod rates;
pub(crate) mod remote_connection;
pub(crate) mod report;
pub(crate) mod storage;
pub(crate) mod time;
pub(crate) mod tolerances;
