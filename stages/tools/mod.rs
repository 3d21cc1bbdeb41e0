//! What commands ask about stages and networks beside a run. What needs libtorch is reached by
//! [`Tools`] alone, which only a program that is linked with it makes ([`tensor_tools`]).

pub mod alike;
pub mod calibration;
pub mod evaluation;
pub mod inspection;
pub mod memory;
pub mod near_pairs;
pub mod network_list;
pub mod predictor;
pub mod speed;
pub mod storage;
pub mod stored;
pub mod workload;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::export::deliverable::{self, Deliverable, Manner, Sources};
use crate::shared::fitting::Guess;
use crate::shared::network_source::guessed;
use crate::tools::calibration::{Calibration, Cost};
use crate::tools::evaluation::Evaluate;
use crate::tools::inspection::Inspection;
use crate::tools::near_pairs::{PairSink, Rows};
use crate::tools::predictor::Predictor;

/// Of the parts of two weights artifacts and of an images artifact.
pub type Alike = fn(&[PathBuf], &[PathBuf], &[PathBuf]) -> Result<Option<f64>>;

/// The functions that need libtorch.
#[derive(Clone, Copy)]
pub struct Tools {
    /// How alike two networks see sampled images: see [`alike::alike`].
    pub alike: Alike,
    /// What a network is worth on labelled images: see [`evaluation::evaluate`].
    pub evaluate: Evaluate,
    pub export: fn(&Sources, &Manner) -> Result<Deliverable>,
    /// How long one unit of a network's work takes here: see [`calibration::measure`].
    pub calibrate: fn(&Calibration) -> Result<Cost>,
    /// The known network that a file fits best.
    pub guess: fn(&Path) -> Result<Guess>,
    pub inspect: fn(&Path) -> Result<Inspection>,
    pub near_pairs: fn(&Rows, f32, PairSink) -> Result<()>,
    /// The numerics class of tensor work on a device by name; fails when there is no such device.
    pub numerics: fn(&str) -> Result<String>,
    pub open: fn(&Sources) -> Result<Box<dyn Predictor>>,
}

/// Named by `seedpipe-torch` alone.
pub fn tensor_tools() -> Tools {
    Tools {
        alike: alike::alike,
        evaluate: evaluation::evaluate,
        export: deliverable::deliver,
        calibrate: calibration::measure,
        guess: guessed,
        inspect: inspection::inspect,
        near_pairs: near_pairs::near_pairs,
        numerics: |device| Ok(seedpipe_learn::numerics::class_of(device)?),
        open: predictor::open,
    }
}

/// Called by `seedpipe-torch` before anything else: freed memory is kept for the next tensor.
pub fn keep_memory() {
    seedpipe_learn::memory::keep();
}
