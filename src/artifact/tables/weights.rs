//! `weights/v1`: a network's tensors by PyTorch's names, in the writer's order; the metadata `architecture` and `preprocessing` (JSON)
//! say the rest, so that a network can be rebuilt from the artifact alone.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Int64Type};

use crate::on_disk::columns::{binaries, list_numbers, list_range, lists, texts};
use crate::on_disk::table::{Key, TableReader, TableRow, TableWriter};
use crate::schema::error::Invalid;
use crate::schema::metadata::Metadata;
use crate::schema::{WEIGHTS, element};

/// Metadata keys that weights must have; each holds JSON.
const REQUIRED: [&str; 2] = ["architecture", "preprocessing"];

/// Element types of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl Dtype {
    const ALL: [Self; 10] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U8,
        Self::Bool,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRow {
    /// `layer1.0.conv1.weight`.
    pub name: String,
    pub dtype: Dtype,
    /// Empty for a scalar.
    pub shape: Vec<i64>,
    /// Little-endian, row-major; its length is the product of `shape` times the element's size.
    pub data: Vec<u8>,
}

pub type WeightsWriter = TableWriter<WeightRow>;
pub type WeightsReader = TableReader<WeightRow>;

impl TableRow for WeightRow {
    const KIND: &'static str = WEIGHTS;

    fn bytes(&self) -> usize {
        self.name.len() + self.data.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.shape.len()));
        let shapes =
            Int64Array::from_iter_values(rows.iter().flat_map(|row| row.shape.iter().copied()));
        vec![
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.name),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| row.dtype.name()),
            )),
            Arc::new(ListArray::new(
                element(DataType::Int64),
                offsets,
                Arc::new(shapes),
                None,
            )),
            Arc::new(BinaryArray::from_iter_values(
                rows.iter().map(|row| &row.data),
            )),
        ]
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Invalid> {
        let (names, dtypes) = (texts(batch, 0), texts(batch, 1));
        let (shapes, data) = (lists(batch, 2), binaries(batch, 3));
        for row in 0..batch.num_rows() {
            let dtype = Dtype::from_name(dtypes.value(row)).ok_or_else(|| {
                let known = Dtype::ALL.map(Dtype::name).join(", ");
                Invalid::new(
                    format!("dtype of tensor `{}`", names.value(row)),
                    format!("one of {known}"),
                    format!("`{}`", dtypes.value(row)),
                )
            })?;
            rows.push(Self {
                name: names.value(row).to_string(),
                dtype,
                shape: list_numbers::<Int64Type>(shapes)[list_range(shapes, row)].to_vec(),
                data: data.value(row).to_vec(),
            });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Invalid> {
        let bytes = self
            .shape
            .iter()
            .try_fold(self.dtype.size(), |bytes, extent| {
                usize::try_from(*extent)
                    .ok()
                    .and_then(|extent| bytes.checked_mul(extent))
            });
        if bytes == Some(self.data.len()) {
            return Ok(());
        }
        Err(Invalid::new(
            format!("data of tensor `{}`", self.name),
            format!(
                "the bytes of {} of shape {:?}",
                self.dtype.name(),
                self.shape
            ),
            format!("{} bytes", self.data.len()),
        ))
    }

    fn key(&self) -> Key {
        Key::Distinct(self.name.clone())
    }

    fn check_metadata(metadata: &Metadata) -> Result<(), Invalid> {
        for key in REQUIRED {
            let what = format!("metadata `{key}`");
            let value = metadata
                .get(key)
                .ok_or_else(|| Invalid::new(&what, "JSON", "none"))?;
            serde_json::from_str::<serde_json::Value>(value)
                .map_err(|error| Invalid::new(&what, "JSON", error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        Metadata::from([
            ("architecture".into(), "{}".into()),
            ("preprocessing".into(), "{}".into()),
        ])
    }

    fn row(name: &str, shape: Vec<i64>, bytes: usize) -> WeightRow {
        WeightRow {
            name: name.into(),
            dtype: Dtype::F32,
            shape,
            data: vec![7; bytes],
        }
    }

    #[test]
    fn the_order_of_the_writer_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.parquet");
        let rows = vec![
            row("z", vec![2, 3], 24),
            row("a", vec![], 4),
            row("m", vec![0, 5], 0),
        ];
        let mut writer = WeightsWriter::create(&path, &metadata()).unwrap();
        writer.write(&rows[..1]).unwrap();
        writer.write(&rows[1..]).unwrap();
        assert_eq!(writer.finish().unwrap(), 3);
        let reader = WeightsReader::open(&[path]).unwrap();
        assert_eq!(reader.read_all().unwrap(), rows);
        assert_eq!(reader.read(1..2).unwrap(), rows[1..2]);
        assert_eq!(reader.metadata(), &metadata());
    }

    #[test]
    fn a_tensor_whose_bytes_do_not_fit_its_shape_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.parquet");
        for wrong in [
            row("w", vec![2, 3], 23),
            row("w", vec![-1], 4),
            row("w", vec![i64::MAX, i64::MAX], 4),
        ] {
            let mut writer = WeightsWriter::create(&path, &metadata()).unwrap();
            let message = writer.write(&[wrong]).unwrap_err().to_string();
            assert!(
                message.contains("data of tensor `w`: expected the bytes of f32"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_name_may_stand_once_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer =
            WeightsWriter::create(&folder.path().join("w.parquet"), &metadata()).unwrap();
        let message = writer
            .write(&[row("w", vec![1], 4), row("w", vec![1], 4)])
            .unwrap_err()
            .to_string();
        assert!(message.contains("`w` twice"), "{message}");
    }

    #[test]
    fn weights_without_an_architecture_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.parquet");
        assert!(WeightsWriter::create(&path, &Metadata::new()).is_err());
        let broken = Metadata::from([
            ("architecture".into(), "{".into()),
            ("preprocessing".into(), "{}".into()),
        ]);
        let message = WeightsWriter::create(&path, &broken)
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.contains("metadata `architecture`: expected JSON"),
            "{message}"
        );
    }
}
