//! `images/v1`: the images as found, each with the BLAKE3 of its encoded bytes, its size after EXIF
//! orientation, label, split and source.
//!
//! The encoded bytes are stored plain, uncompressed and one image to a page, so that Parquet's own
//! offset index says where every image is: [`crate::ImagesReader::bytes`] is one `pread`, from any
//! thread in any order. A part that was laid out otherwise is read through the Parquet decoder,
//! slower but equal. The bytes may lie apart ([`crate::StoredBytes`]): the content is the same.

pub(crate) mod reader;

use seedpipe_base::Refusal;

use crate::on_disk::row::{RowKey, TableRow, table};
use crate::on_disk::table::TableWriter;
use crate::schema::IMAGES;

table! {
    /// Images as they were found, one a row. An image is known by its digest and its occurrence;
    /// ids are for joins within one artifact.
    pub struct ImageRow of IMAGES {
        /// Counts from 0.
        ///
        /// Strictly ascending over the rows of an output.
        image_id: u32 as Differences,
        /// BLAKE3 of `bytes`.
        digest: [u8; 32],
        /// How many earlier rows have this digest.
        occurrence: u32,
        /// The file, encoded as it was found.
        bytes: Vec<u8> as Pages,
        /// Pixels, after EXIF orientation.
        width: u32,
        /// Pixels, after EXIF orientation.
        height: u32,
        /// The class by number, where it is known.
        label: Option<i32>,
        /// The class by name, where it has one.
        label_name: Option<String>,
        /// `train`, `val`, `test` or another name.
        split: String,
        /// Path within the source, or file and row.
        source: String,
    }
}

pub type ImagesWriter = TableWriter<ImageRow>;

impl ImageRow {
    /// A sound row of these bytes, for tests that care about few of the columns: of the split
    /// `train`, 1 pixel in size, without a label.
    pub fn example(image_id: u32, bytes: Vec<u8>) -> Self {
        Self {
            image_id,
            digest: *blake3::hash(&bytes).as_bytes(),
            bytes,
            width: 1,
            height: 1,
            split: "train".to_owned(),
            source: format!("{image_id}.jpg"),
            ..Self::default()
        }
    }
}

impl TableRow for ImageRow {
    fn check(&self) -> Result<(), Refusal> {
        // Without bytes: they lie apart.
        if self.bytes.is_empty() || *blake3::hash(&self.bytes).as_bytes() == self.digest {
            return Ok(());
        }
        let what = format!("digest of image {}", self.image_id);
        Err(Refusal::expected("the BLAKE3 of its bytes", "another").place(what))
    }

    fn key(&self) -> RowKey {
        RowKey::Ascending(u64::from(self.image_id))
    }
}
