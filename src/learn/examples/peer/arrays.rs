//! Arrays as plain little-endian files, which NumPy's `tofile` and `fromfile` write and read.

use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_learn::tch::{Device, Kind, Tensor};

/// Where they lie.
#[derive(Clone)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// `NAME.f32`, of the shape told.
    pub fn floats(&self, name: &str, shape: &[i64]) -> Result<Tensor> {
        let bytes = fs_err::read(self.0.join(format!("{name}.f32")))?;
        Tensor::f_from_data_size(&bytes, shape, Kind::Float)
            .with_context(|| format!("{name}: {} bytes for shape {shape:?}", bytes.len()))
    }

    /// `NAME.i64`
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let bytes = fs_err::read(self.0.join(format!("{name}.i64")))?;
        let numbers = bytes.as_chunks::<8>().0;
        Ok(numbers
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect())
    }

    /// Writes `NAME.f32`.
    pub fn write_floats(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let flat = tensor.to_kind(Kind::Float).to_device(Device::Cpu);
        let values: Vec<f32> = Vec::try_from(flat.reshape([-1]))?;
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Ok(fs_err::write(self.0.join(format!("{name}.f32")), bytes)?)
    }

    /// Writes `NAME.i64`.
    pub fn write_integers(&self, name: &str, values: impl Iterator<Item = i64>) -> Result<()> {
        let bytes: Vec<u8> = values.flat_map(i64::to_le_bytes).collect();
        Ok(fs_err::write(self.0.join(format!("{name}.i64")), bytes)?)
    }
}
