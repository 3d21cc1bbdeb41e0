//! Writing one Parquet part: straight to the path that the store hands out, which also makes it
//! durable.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::schema::column::Layout;
use crate::schema::failure::{self, Result};
use crate::schema::metadata::{self, Metadata};
use crate::schema::table::{Declared, schema_of};

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
    pub fn create(
        path: &Path,
        kind: &str,
        columns: &[Declared],
        metadata: &Metadata,
        page_bytes: usize,
    ) -> Result<Self> {
        let schema = schema_of(columns);
        let footer = metadata::to_footer(path, kind, metadata)?;
        let file = fs_err::File::create(path)
            .map_err(|error| failure::io(path, "cannot create", error))?
            .into_file();
        let properties = properties(columns, page_bytes)
            .set_key_value_metadata(Some(vec![footer]))
            .build();
        let writer = ArrowWriter::try_new(
            BufWriter::with_capacity(1 << 20, file),
            schema.clone(),
            Some(properties),
        )
        .map_err(|error| failure::parquet(path, "cannot write", error))?;
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
            .map_err(|error| failure::parquet(&self.path, "cannot write", error))
    }

    /// Ends the row group.
    pub fn end_row_group(&mut self) -> Result<()> {
        self.writer
            .flush()
            .map_err(|error| failure::parquet(&self.path, "cannot write", error))
    }

    /// Writes the footer. Without it the file is not Parquet.
    pub fn finish(self) -> Result<u64> {
        let mut file = self
            .writer
            .into_inner()
            .map_err(|error| failure::parquet(&self.path, "cannot write", error))?;
        file.flush()
            .map_err(|error| failure::io(&self.path, "cannot write", error))?;
        Ok(self.rows)
    }
}

fn properties(
    columns: &[Declared],
    page_bytes: usize,
) -> parquet::file::properties::WriterPropertiesBuilder {
    let mut properties = WriterProperties::builder()
        .set_created_by("seedpipe-artifact".to_string())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_compression(Compression::LZ4_RAW)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_write_batch_size(4096)
        .set_data_page_size_limit(page_bytes);
    for declared in columns {
        let name = declared.field.name().as_str();
        let column = match declared.field.data_type() {
            DataType::FixedSizeList(..) => {
                ColumnPath::from([name, "list", "element"].map(str::to_string).to_vec())
            }
            _ => ColumnPath::from(name),
        };
        properties = match declared.layout {
            Layout::Dictionary => properties,
            Layout::Distinct => properties.set_column_dictionary_enabled(column, false),
            Layout::Differences => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
            Layout::Plain => plain(properties, column),
            Layout::Pages => plain(properties, column.clone())
                .set_column_data_page_size_limit(column.clone(), 1)
                .set_column_data_page_row_count_limit(column, 1),
        };
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
