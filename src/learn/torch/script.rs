//! Networks as TorchScript programs: any teacher that PyTorch can trace or script, taken as it is.
//!
//! Such a file is code, which libtorch interprets; it is run, not read. Its identity is the digest
//! of its bytes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use seedpipe_base::Refusal;
use tch::{CModule, Device, Kind, Tensor};

use crate::torch::one_thread::{PART, side_by_side};

pub struct Script {
    path: PathBuf,
    module: CModule,
    device: Device,
    digest: [u8; 32],
}

impl Script {
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        let bytes = fs_err::read(path)?;
        let failed = |error: tch::TchError| {
            Refusal::failure(format!(
                "`{}`: libtorch does not load it as TorchScript: {}",
                path.display(),
                first_line(&error)
            ))
            .hint("write it in Python with `torch.jit.trace(network, images).save(…)`")
        };
        let mut module =
            CModule::load_data_on_device(&mut bytes.as_slice(), device).map_err(failed)?;
        module.f_set_eval().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            module,
            device,
            digest: *blake3::hash(&bytes).as_bytes(),
        })
    }

    /// BLAKE3 of the file.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// On a processor in parts of a fixed size, as [`crate::deploy::inference`] does.
    ///
    /// # Shapes
    /// - `images`: `[B, 3, H, W]`
    /// - returns `[B, D]` f32; gradients don't flow
    pub fn features(&self, images: &Tensor) -> Result<Tensor, Refusal> {
        if self.device != Device::Cpu {
            return self.features_of_part(images);
        }
        let parts = side_by_side(images.split(PART, 0), |part| self.features_of_part(&part));
        let parts: Vec<Tensor> = parts.into_iter().collect::<Result<_, _>>()?;
        Ok(Tensor::cat(&parts, 0))
    }

    fn features_of_part(&self, images: &Tensor) -> Result<Tensor, Refusal> {
        let images = images.to_device(self.device);
        let features = tch::no_grad(|| self.module.forward_ts(&[&images])).map_err(|error| {
            Refusal::failure(format!(
                "`{}`: its `forward` fails on images of shape {:?}: {}",
                self.path.display(),
                images.size(),
                first_line(&error)
            ))
            .hint("it must take `[B, 3, H, W]` f32 and be of the size that `preprocessing` says")
        })?;
        let (batch, got) = (images.size()[0], features.size());
        match got[..] {
            [rows, _] | [rows, _, 1, 1] if rows == batch => {
                Ok(features.flatten(1, -1).to_kind(Kind::Float))
            }
            _ => Err(Refusal::failure(format!(
                "`{}`: expected features `[{batch}, D]` from its `forward`, got {got:?}",
                self.path.display()
            ))
            .hint("trace the network without its classifier, or with its features flattened")),
        }
    }

    /// Length of the features of images of `size` pixels.
    pub fn dimension(&self, size: i64) -> Result<i64, Refusal> {
        let images = Tensor::zeros([1, 3, size, size], (Kind::Float, self.device));
        Ok(self.features(&images)?.size()[1])
    }

    /// Numbers that it was trained to hold; 0 where the program holds them as constants.
    pub fn parameter_count(&self) -> u64 {
        let parameters = self.module.named_parameters().unwrap_or_default();
        parameters
            .iter()
            .map(|(_, tensor)| tensor.numel() as u64)
            .sum()
    }
}

/// libtorch's reason without its stack.
fn first_line(error: &tch::TchError) -> String {
    let text = match error {
        tch::TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("no reason given").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::formula::units;
    use rayon::prelude::*;

    fn testdata(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/layouts")
            .join(name)
    }

    #[test]
    fn a_traced_network_computes_what_pytorch_saw() {
        let script = Script::load(&testdata("backbone.torchscript.pt"), Device::Cpu).unwrap();
        let expected = crate::checkpoint_file::read(&testdata("features.safetensors"))
            .unwrap()
            .tensors
            .remove("features")
            .unwrap();
        let shape = [2, 3, 32, 32];
        let images: Vec<f64> = units("input.2x3x32x32", &shape, 11).collect();
        let images = Tensor::from_slice(&images)
            .reshape(shape)
            .to_kind(Kind::Float);
        let features = script.features(&images).unwrap();
        let error = ((&features - &expected).norm() / expected.norm()).double_value(&[]);
        assert!(error < 1e-5, "off by {error}");
        assert_eq!(script.dimension(32).unwrap(), expected.size()[1]);
        assert!(script.parameter_count() > 1000);
    }

    #[test]
    fn what_is_no_program_or_no_features_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teacher.pt");
        fs_err::write(&path, b"PK\x03\x04 and nothing else").unwrap();
        let message = Script::load(&path, Device::Cpu).err().unwrap().to_string();
        assert!(
            message.contains("does not load it as TorchScript"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 2, "{message}");
        let script = Script::load(&testdata("backbone.torchscript.pt"), Device::Cpu).unwrap();
        let gray = Tensor::zeros([1, 1, 32, 32], (Kind::Float, Device::Cpu));
        let message = script.features(&gray).unwrap_err().to_string();
        assert!(
            message.contains("fails on images of shape [1, 1, 32, 32]"),
            "{message}"
        );
    }
}
