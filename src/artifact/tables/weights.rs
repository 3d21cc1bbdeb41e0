//! `weights/v1`: a network's tensors by PyTorch's names, in the writer's order; the metadata
//! `architecture` and `preprocessing` (JSON) say the rest, so that a network can be rebuilt from
//! the artifact alone.

use seedpipe_base::Refusal;

use crate::on_disk::row::{RowKey, TableRow, table};
use crate::on_disk::table::{TableReader, TableWriter};
use crate::schema::WEIGHTS;
use crate::schema::column::{by_name, named};
use crate::schema::metadata::Metadata;

/// Metadata keys that weights must have; each holds JSON.
const REQUIRED: [&str; 2] = ["architecture", "preprocessing"];

named! {
    /// Element types of tensors.
    #[derive(Default)]
    pub enum Dtype {
        F64 = "f64",
        #[default]
        F32 = "f32",
        F16 = "f16",
        Bf16 = "bf16",
        I64 = "i64",
        I32 = "i32",
        I16 = "i16",
        I8 = "i8",
        U8 = "u8",
        Bool = "bool",
    }
}

by_name!(Dtype, format!("one of {}", Dtype::NAMES.join(", ")));

impl Dtype {
    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether all elements are, of a type that knows infinity and NaN: not all bits of the
    /// exponent are 1.
    fn are_finite(self, data: &[u8]) -> bool {
        let halves = |exponent: u16| {
            let halves = data.as_chunks::<2>().0.iter();
            halves.fold(true, |finite, half| {
                finite & (u16::from_le_bytes(*half) & exponent != exponent)
            })
        };
        match self {
            Self::F64 => {
                let values = data.as_chunks::<8>().0.iter();
                values.fold(true, |finite, value| {
                    finite & f64::from_le_bytes(*value).is_finite()
                })
            }
            Self::F32 => {
                let values = data.as_chunks::<4>().0.iter();
                values.fold(true, |finite, value| {
                    finite & f32::from_le_bytes(*value).is_finite()
                })
            }
            Self::F16 => halves(0x7c00),
            Self::Bf16 => halves(0x7f80),
            _ => true,
        }
    }
}

table! {
    /// A network's state dict, one tensor a row. Metadata: `architecture` and `preprocessing` as
    /// JSON, so that the artifact is enough to look at images.
    pub struct WeightRow of WEIGHTS {
        /// Key in the state dict: `layer1.0.conv1.weight`.
        name: String,
        /// Type of the elements: `f32`, `i64` and so on.
        dtype: Dtype,
        /// Empty for a scalar.
        shape: Vec<i64>,
        /// Little-endian, row-major.
        ///
        /// Its length is the product of `shape` times the element's size.
        data: Vec<u8>,
    }
}

pub type WeightsWriter = TableWriter<WeightRow>;
pub type WeightsReader = TableReader<WeightRow>;

impl TableRow for WeightRow {
    fn cell(&self, column: &str) -> String {
        format!("{column} of tensor `{}`", self.name)
    }

    fn check(&self) -> Result<(), Refusal> {
        let bytes = self
            .shape
            .iter()
            .try_fold(self.dtype.size(), |bytes, extent| {
                usize::try_from(*extent)
                    .ok()
                    .and_then(|extent| bytes.checked_mul(extent))
            });
        if bytes == Some(self.data.len()) {
            return match self.dtype.are_finite(&self.data) {
                true => Ok(()),
                false => Err(Refusal::expected("finite numbers", "NaN or infinity")
                    .place(format!("tensor `{}`", self.name))
                    .hint("train with a lower learning rate, with `clip_gradient_norm`, or in `precision: f32`")),
            };
        }
        let dtype = self.dtype.name();
        let expected = format!("the bytes of {dtype} of shape {:?}", self.shape);
        let got = format!("{} bytes", self.data.len());
        Err(Refusal::expected(expected, got).place(self.cell("data")))
    }

    fn key(&self) -> RowKey {
        RowKey::Distinct(self.name.clone())
    }

    fn check_metadata(metadata: &Metadata) -> Result<(), Refusal> {
        for key in REQUIRED {
            let no_json =
                |got: String| Refusal::expected("JSON", got).place(format!("metadata `{key}`"));
            let value = metadata
                .get(key)
                .ok_or_else(|| no_json("none".to_owned()))?;
            serde_json::from_str::<serde_json::Value>(value)
                .map_err(|error| no_json(error.to_string()))?;
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
    fn a_tensor_that_is_not_finite_is_refused_in_every_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.parquet");
        macro_rules! bytes {
            ($type:ty) => {
                [
                    <$type>::MAX,
                    <$type>::NAN,
                    <$type>::INFINITY,
                    <$type>::NEG_INFINITY,
                ]
                .map(|value| value.to_le_bytes().to_vec())
            };
        }
        for (dtype, bytes) in [
            (Dtype::F64, bytes!(f64)),
            (Dtype::F32, bytes!(f32)),
            (Dtype::F16, bytes!(half::f16)),
            (Dtype::Bf16, bytes!(half::bf16)),
        ] {
            for (index, data) in bytes.into_iter().enumerate() {
                let row = WeightRow {
                    name: "w".into(),
                    dtype,
                    shape: vec![],
                    data,
                };
                let written = WeightsWriter::create(&path, &metadata())
                    .unwrap()
                    .write(&[row]);
                assert_eq!(written.is_ok(), index == 0, "{index} in {}", dtype.name());
            }
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
