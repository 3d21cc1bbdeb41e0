//! A trained network on image files outside any pipeline: batch by batch, one prediction an image,
//! in order.
//!
//! On the CPU in f32, with the preprocessing that travels with the weights.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use seedpipe_base::Refusal;
use seedpipe_base::text::hex;
use seedpipe_engine::{Aside, cancel, walk};
use seedpipe_imaging::{Layout, Limits, Normalise, Policy, Scratch, decode, render};
use seedpipe_learn::architecture::Preprocessing;
use seedpipe_learn::inference::Inference;
use seedpipe_learn::network::Precision;
use seedpipe_learn::tensors::{from_slice_f32, to_vec_f32};
use tch::{Kind, Tensor};

use crate::export::deliverable::{Sources, deployed};
use crate::judging::evaluation::plain_view;
use crate::shared::confusion::Class;
use crate::shared::image_folder::is_linked;
use crate::shared::network_artifact::{eval_policy, normalise};

/// Images that are decoded and handed to the network at once, at most.
const BATCH: usize = 128;
/// An image with more pixels is refused: it would take gigabytes.
const LARGEST: Limits = Limits {
    pixels: 200_000_000,
};

/// What the network says of one image.
pub struct Prediction {
    /// Of length `D`, not normalised.
    pub features: Vec<f32>,
    /// Sums to 1; of a network with a classifier.
    pub probabilities: Option<Vec<f32>>,
}

/// Takes each image's path and its prediction, or why there is none; an error of its own ends the
/// rest.
pub type Sink<'sink> = dyn FnMut(&Path, Result<Prediction>) -> Result<()> + 'sink;

/// An image that is read already: its name, and its bytes or what there is instead.
pub type ReadImage = (PathBuf, Result<Vec<u8>, &'static str>);

/// The best outputs, the surest first; of equal ones the first.
pub fn best_outputs(probabilities: &[f32], most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    order.truncate(most);
    order
}

/// Which network predicts, and how it prepares images: embeddings may be compared where these are
/// equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// BLAKE3 of the tensors that the features depend on, in hexadecimal.
    pub features: String,
    /// BLAKE3 of all tensors of the network as it is stored, with head and classifier: what
    /// `encode` says of its embeddings.
    pub network: String,
    /// Whether it is stored with a head.
    pub has_head: bool,
    pub preprocessing: Preprocessing,
}

/// A network that is ready for images.
pub trait Predictor {
    fn identity(&self) -> &Identity;

    /// Length of the features.
    fn dimension(&self) -> usize;

    /// Its classes by output, empty when they are not known.
    fn classes(&self) -> &[Class];

    /// What of the network's file was guessed, or is not used, for people.
    fn told(&self) -> Option<&str>;

    /// Gives the sink the prediction of each image, in order.
    fn predict(&self, images: &[PathBuf], sink: &mut Sink) -> Result<()>;

    /// The same of images that are read already, under their names.
    fn predict_read(&self, images: Vec<ReadImage>, sink: &mut Sink) -> Result<()>;
}

struct Ready {
    inference: Inference,
    /// Of the features.
    dimension: usize,
    identity: Identity,
    classes: Vec<Class>,
    told: Option<String>,
}

impl Predictor for Ready {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn classes(&self) -> &[Class] {
        &self.classes
    }

    fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }

    fn predict(&self, images: &[PathBuf], sink: &mut Sink) -> Result<()> {
        let aside = Aside::begin("looking", "images", images.len() as u64);
        for paths in images.chunks(self.at_once()) {
            let images = paths.iter().map(|path| (path.clone(), None));
            self.predict_batch(images.collect(), sink)?;
            aside.advance(paths.len() as u64);
        }
        Ok(())
    }

    fn predict_read(&self, images: Vec<ReadImage>, sink: &mut Sink) -> Result<()> {
        let mut images = images.into_iter();
        loop {
            let batch = images.by_ref().take(self.at_once());
            let batch: Vec<_> = batch.map(|(name, bytes)| (name, Some(bytes))).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.predict_batch(batch, sink)?;
        }
    }
}

impl Ready {
    /// Images of a batch: a part for each core, since no image's numbers hang on those beside it.
    fn at_once(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let size = self.identity.preprocessing.size;
        BATCH.min(cores * self.inference.images_at_once(size))
    }

    /// One batch; what is not read yet is read when its turn comes.
    fn predict_batch(&self, images: Vec<ImageToRead>, sink: &mut Sink) -> Result<()> {
        cancel::check()?;
        let policy = &eval_policy(&self.identity.preprocessing)?;
        let normalise = &normalise(&self.identity.preprocessing);
        let paths: Vec<PathBuf> = images.iter().map(|(path, _)| path.clone()).collect();
        let length = 3 * (policy.size as usize).pow(2);
        let mut pixels = vec![0f32; paths.len() * length];
        let rendered: Vec<Result<()>> = images
            .into_par_iter()
            .zip(pixels.par_chunks_exact_mut(length))
            .map(|(image, place)| rendered(image, policy, normalise, place))
            .collect();
        let side = i64::from(policy.size);
        let shape = [paths.len() as i64, side, side, 3];
        let batch = from_slice_f32(&shape, &pixels).permute([0, 3, 1, 2]);
        let results = self.inference.forward(&batch);
        let features = finite_rows(&results.features, paths.len(), self.dimension)?;
        let probabilities = match results.logits {
            None => None,
            Some(logits) => {
                let classes = logits.size()[1] as usize;
                let probabilities = logits.softmax(-1, Kind::Float);
                Some(finite_rows(&probabilities, paths.len(), classes)?)
            }
        };
        for (index, (path, rendered)) in paths.iter().zip(rendered).enumerate() {
            let row = |rows: &Vec<Option<Vec<f32>>>| {
                rows[index].clone().ok_or_else(|| {
                    Refusal::failure(format!(
                        "`{}`: expected finite numbers of the network, got NaN or infinity",
                        path.display()
                    ))
                    .hint("check the network's weights by `seedpipe network inspect`, and its preprocessing")
                })
            };
            let prediction = rendered.and_then(|()| {
                Ok(Prediction {
                    features: row(&features)?,
                    probabilities: probabilities.as_ref().map(row).transpose()?,
                })
            });
            sink(path, prediction)?;
        }
        Ok(())
    }
}

/// The rows of `[count, length]`; none where a number of one is not finite.
fn finite_rows(values: &Tensor, count: usize, length: usize) -> Result<Vec<Option<Vec<f32>>>> {
    ensure!(
        values.size() == [count as i64, length as i64],
        "BUG: expected results of shape [{count}, {length}], got {:?}",
        values.size()
    );
    let rows = to_vec_f32(values);
    let finite = |row: &[f32]| {
        row.iter()
            .all(|value| value.is_finite())
            .then(|| row.to_vec())
    };
    Ok(rows.chunks_exact(length).map(finite).collect())
}

/// Loads the network.
pub fn open(sources: &Sources) -> Result<Box<dyn Predictor>> {
    let _aside = Aside::begin("reading the network", "", 0);
    let loaded = sources.weights.load()?;
    let (deployment, classes) = deployed(&loaded, sources)?;
    let network = &loaded.prepared.network;
    let identity = Identity {
        features: hex(&deployment.features_digest()),
        network: hex(&network.digest()),
        has_head: network.architecture().head.is_some(),
        preprocessing: deployment.preprocessing.clone(),
    };
    Ok(Box::new(Ready {
        inference: Inference::of_deployment(&deployment, Precision::F32),
        dimension: deployment.feature_dimension() as usize,
        identity,
        classes,
        told: loaded.told,
    }))
}

/// An image's name, and what was read of it, if it was.
type ImageToRead = (PathBuf, Option<Result<Vec<u8>, &'static str>>);

/// Decodes an image and renders it as the network wants it: `[size, size, 3]`.
fn rendered(
    (path, read): ImageToRead,
    policy: &Policy,
    normalise: &Normalise,
    place: &mut [f32],
) -> Result<()> {
    let read = match read {
        Some(read) => read,
        None => walk::read(&path)?,
    };
    let bytes = read.map_err(|fault| {
        let got = format!("expected an image, got {fault}");
        Refusal::failure(got).place(format!("`{}`", path.display()))
    })?;
    let image = decode(&bytes, &LARGEST).map_err(|error| match is_linked(Path::new(""), &path) {
        true => error.unquoted(),
        false => error,
    });
    let image = image.with_context(|| format!("`{}`", path.display()))?;
    let view = plain_view(policy, image.width, image.height);
    let mut scratch = Scratch::default();
    render(
        &image,
        &view,
        &mut scratch,
        place,
        Layout::Hwc,
        Some(normalise),
    )
    .with_context(|| format!("`{}`", path.display()))
}
