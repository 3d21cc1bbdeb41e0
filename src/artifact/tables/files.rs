//! `files/v1`: whole files as rows (an ONNX network, a model card, a report).

use seedpipe_base::Refusal;

use crate::on_disk::row::{RowKey, TableRow, table};
use crate::on_disk::table::{TableReader, TableWriter};
use crate::schema::FILES;

table! {
    /// Whole files, such as the report's page or an exported network.
    pub struct FileRow of FILES {
        /// A plain file name.
        ///
        /// It can be written into any folder without leaving it.
        name: String,
        /// The file.
        bytes: Vec<u8> as Pages,
    }
}

pub type FilesWriter = TableWriter<FileRow>;
pub type FilesReader = TableReader<FileRow>;

impl TableRow for FileRow {
    fn check(&self) -> Result<(), Refusal> {
        let plain = !self.name.is_empty()
            && self.name != "."
            && self.name != ".."
            && !self.name.contains(['/', '\\', ':', '\0']);
        if plain {
            return Ok(());
        }
        let got = format!("`{}`", self.name);
        Err(Refusal::expected("a plain name without a folder", got).place("file name"))
    }

    fn key(&self) -> RowKey {
        RowKey::Distinct(self.name.clone())
    }
}
