//! `rejected/v1`: the sources that `ingest` could not use, and why.

use crate::on_disk::row::{TableRow, table};
use crate::on_disk::table::{TableReader, TableWriter};
use crate::schema::REJECTED;

table! {
    /// Images that could not be taken in, one a row.
    pub struct RejectedRow of REJECTED {
        /// Path within the source, or file and row.
        ///
        /// As in `images/v1`.
        source: String,
        /// Why it was refused.
        reason: String,
    }
}

pub type RejectedWriter = TableWriter<RejectedRow>;
pub type RejectedReader = TableReader<RejectedRow>;

impl TableRow for RejectedRow {}
