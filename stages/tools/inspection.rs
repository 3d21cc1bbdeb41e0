//! What a checkpoint file holds, and which known network it may be.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use seedpipe_engine::Aside;
pub use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::checkpoint_file;
use seedpipe_learn::tensors::{dtype, is_finite};
use seedpipe_learn::weights_file;
use serde::Serialize;

use crate::shared::fitting::{Fitting, Guess, NearestNetwork, fitting};

#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Such as "zip torch.save".
    pub format: String,
    /// By name.
    pub tensors: Vec<InspectedTensor>,
    /// Numbers in all floating-point tensors.
    pub numbers: u64,
    /// Of a safetensors file.
    pub metadata: BTreeMap<String, String>,
    /// The networks that the file fits wholly, those that leave least over first; of another width
    /// than 1 when none of that fits.
    pub guesses: Vec<Guess>,
    /// When it fits none: the network of which most tensors are there, and what its loader says.
    pub nearest: Option<NearestNetwork>,
}

#[derive(Debug, Serialize)]
pub struct InspectedTensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<i64>,
    /// No number of it is NaN or infinite.
    pub finite: bool,
}

/// Reads the file and tries every known network on it.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let reading = Aside::begin("reading the checkpoint", "", 0);
    let checkpoint = checkpoint_file::read(path)?;
    drop(reading);
    let metadata = weights_file::metadata(path)?;
    let tensors: Vec<InspectedTensor> = checkpoint
        .tensors
        .iter()
        .map(|(name, tensor)| InspectedTensor {
            name: name.clone(),
            dtype: dtype(tensor.kind()),
            shape: tensor.size(),
            finite: is_finite(tensor),
        })
        .collect();
    let floating = checkpoint.tensors.values();
    let numbers = floating
        .filter(|tensor| tensor.is_floating_point())
        .map(|tensor| tensor.numel() as u64)
        .sum();
    let Fitting { guesses, nearest } = fitting(&checkpoint, &metadata, None)?;
    Ok(Inspection {
        format: checkpoint.format.to_string(),
        tensors,
        numbers,
        metadata,
        nearest,
        guesses,
    })
}
