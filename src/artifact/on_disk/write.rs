//! Writing one Parquet part: straight to the path that the store hands out, which also makes it durable.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::schema;
use crate::schema::error::{ArtifactError, Result};
use crate::schema::metadata::{self, Metadata};

/// Rows of a row group, at most.
pub(crate) const ROW_GROUP_ROWS: usize = 16_384;

pub(crate) struct PartWriter {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

impl PartWriter {
    /// Creates or empties the file. `page_bytes`: size of a data page.
    pub fn create(path: &Path, kind: &str, metadata: &Metadata, page_bytes: usize) -> Result<Self> {
        let schema = schema::schema(path, kind, metadata)?;
        let footer = metadata::to_footer(path, kind, metadata)?;
        let file = fs_err::File::create(path)
            .map_err(|error| ArtifactError::io(path, "cannot create", error))?
            .into_file();
        let properties = properties(&schema, page_bytes)
            .set_key_value_metadata(Some(vec![footer]))
            .build();
        let writer = ArrowWriter::try_new(
            BufWriter::with_capacity(1 << 20, file),
            schema.clone(),
            Some(properties),
        )
        .map_err(|error| ArtifactError::parquet(path, "cannot write", error))?;
        Ok(Self {
            path: path.to_path_buf(),
            schema,
            writer,
            rows: 0,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer
            .write(batch)
            .map_err(|error| ArtifactError::parquet(&self.path, "cannot write", error))
    }

    /// Ends the row group.
    pub fn end_row_group(&mut self) -> Result<()> {
        self.writer
            .flush()
            .map_err(|error| ArtifactError::parquet(&self.path, "cannot write", error))
    }

    /// Writes the footer. Without it the file is not Parquet.
    pub fn finish(self) -> Result<u64> {
        let mut file = self
            .writer
            .into_inner()
            .map_err(|error| ArtifactError::parquet(&self.path, "cannot write", error))?;
        file.flush()
            .map_err(|error| ArtifactError::io(&self.path, "cannot write", error))?;
        Ok(self.rows)
    }
}

/// How columns are stored: the heavy ones (`bytes`, `data`, `embedding`) plain and uncompressed, so that a row is where its page says;
/// identifiers that only count up as differences; everything else by dictionary where that pays, and LZ4.
fn properties(
    schema: &SchemaRef,
    page_bytes: usize,
) -> parquet::file::properties::WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_created_by("seedpipe-artifact".to_string())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_compression(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_write_batch_size(4096)
        .set_data_page_size_limit(page_bytes);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        match field.name().as_str() {
            // One image a page: the offset index then holds the position of every image.
            "bytes" => {
                properties = plain(properties, column.clone())
                    .set_column_data_page_size_limit(column.clone(), 1)
                    .set_column_data_page_row_count_limit(column, 1);
            }
            "data" => properties = plain(properties, column),
            "embedding" => {
                let values = ColumnPath::from(vec![
                    "embedding".to_string(),
                    "list".to_string(),
                    "element".to_string(),
                ]);
                properties = plain(properties, values);
            }
            "view_id" | "image_id" => {
                properties = properties
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
            }
            "digest" => properties = properties.set_column_dictionary_enabled(column, false),
            _ => {}
        }
    }
    properties
}

fn plain(
    properties: parquet::file::properties::WriterPropertiesBuilder,
    column: ColumnPath,
) -> parquet::file::properties::WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(column.clone(), false)
        .set_column_encoding(column.clone(), Encoding::PLAIN)
        .set_column_compression(column.clone(), Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(column, EnabledStatistics::None)
}
