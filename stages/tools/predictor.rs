//! A trained network on image files outside any pipeline: batch by batch, one prediction an image,
//! in order.
//!
//! On the CPU in f32, with the preprocessing that travels with the weights.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use rayon::prelude::*;
use seedpipe_base::text::hex;
use seedpipe_base::{Refusal, mismatch};
use seedpipe_engine::{cancel, walk};
use seedpipe_imaging::{Layout, Limits, Normalise, Policy, Scratch, decode, render};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::deployment::Deployment;
use seedpipe_learn::inference::Inference;
use seedpipe_learn::network::{Network, Precision};
use seedpipe_learn::tensors::{from_slice_f32, to_vec_f32};
use seedpipe_learn::{checkpoint_file, weights_file};
use tch::{Device, Kind, Tensor};

use crate::export::deliverable::{Sources, classes, classes_of_file, deployed};
use crate::judging::evaluation::plain_view;
use crate::shared::confusion::Class;
use crate::shared::image_folder::is_linked;
use crate::shared::network_artifact::{eval_policy, load_network, normalise};

/// Images that are decoded and handed to the network at once.
const BATCH: usize = 128;
/// An image with more pixels is refused: it would take gigabytes.
const LARGEST: Limits = Limits {
    pixels: 200_000_000,
};

/// Where the network's weights come from.
pub enum Weights<'input> {
    /// Of a pipeline.
    Stage(Sources<'input>),
    /// A checkpoint.
    File {
        path: &'input Path,
        /// A name, or JSON as under `network:`; not needed when the file's metadata says it.
        network: Option<&'input str>,
        /// Of several networks in it, the one whose tensors' names begin so.
        prefix: Option<&'input str>,
    },
}

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

    /// What of the network's file is not used, for people.
    fn left(&self) -> Option<&str>;

    /// Gives the sink the prediction of each image, in order.
    fn predict(&self, images: &[PathBuf], sink: &mut Sink) -> Result<()>;

    /// The same of images that are read already, under their names.
    fn predict_read(&self, images: Vec<ReadImage>, sink: &mut Sink) -> Result<()>;
}

struct Loaded {
    inference: Inference,
    /// Of the features.
    dimension: usize,
    identity: Identity,
    classes: Vec<Class>,
    left: Option<String>,
}

impl Loaded {
    fn new(network: &Network, deployment: &Deployment, classes: Vec<Class>) -> Self {
        let identity = Identity {
            features: hex(&deployment.features_digest()),
            network: hex(&network.digest()),
            has_head: network.architecture().head.is_some(),
            preprocessing: deployment.preprocessing.clone(),
        };
        Self {
            inference: Inference::of_deployment(deployment, Precision::F32),
            dimension: deployment.feature_dimension() as usize,
            identity,
            classes,
            left: None,
        }
    }
}

impl Predictor for Loaded {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn classes(&self) -> &[Class] {
        &self.classes
    }

    fn left(&self) -> Option<&str> {
        self.left.as_deref()
    }

    fn predict(&self, images: &[PathBuf], sink: &mut Sink) -> Result<()> {
        for paths in images.chunks(BATCH) {
            let images = paths.iter().map(|path| (path.clone(), None));
            self.predict_batch(images.collect(), sink)?;
        }
        Ok(())
    }

    fn predict_read(&self, images: Vec<ReadImage>, sink: &mut Sink) -> Result<()> {
        let mut images = images.into_iter();
        loop {
            let batch = images.by_ref().take(BATCH);
            let batch: Vec<_> = batch.map(|(name, bytes)| (name, Some(bytes))).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.predict_batch(batch, sink)?;
        }
    }
}

impl Loaded {
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
pub fn open(weights: &Weights) -> Result<Box<dyn Predictor>> {
    Ok(Box::new(match weights {
        Weights::Stage(sources) => {
            let prepared = load_network(sources.weights, Device::Cpu)?;
            let deployment = deployed(&prepared, sources)?;
            let classes = classes(sources.images, deployment.classes())?;
            Loaded::new(&prepared.network, &deployment, classes)
        }
        Weights::File {
            path,
            network,
            prefix,
        } => load_file(path, *network, *prefix)?,
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

fn load_file(path: &Path, network: Option<&str>, prefix: Option<&str>) -> Result<Loaded> {
    checkpoint_file::check_is_file(path)?;
    let metadata = weights_file::metadata(path)?;
    let of_file = || format!("`{}`: its metadata", path.display());
    let architecture: Architecture = match (network, metadata.get("architecture")) {
        (Some(network), _) if network.trim_start().starts_with('{') => {
            serde_json::from_str(network).map_err(|error| {
                mismatch::refusal_of(&error.to_string()).place(format!("--network {network}"))
            })?
        }
        (Some(name), _) => Architecture::named(name),
        (None, Some(said)) => serde_json::from_str(said).with_context(of_file)?,
        (None, None) => {
            return Err(anyhow!(
                Refusal::failure(format!(
                    "`{}` doesn't say which network it is of",
                    path.display()
                ))
                .hint(format!(
                    "add `--network NAME`; `seedpipe network inspect {}` guesses it",
                    path.display()
                ))
            ));
        }
    };
    let (loaded, recognised) =
        checkpoint_file::load_network(path, &architecture, prefix, Device::Cpu)?;
    let preprocessing: Preprocessing = match metadata.get("preprocessing") {
        Some(said) => serde_json::from_str(said).with_context(of_file)?,
        None => architecture.default_preprocessing(),
    };
    preprocessing.validate().with_context(of_file)?;
    let classes = classes_of_file(&metadata).with_context(of_file)?;
    let deployment = Deployment::new(&loaded, &preprocessing)?;
    Ok(Loaded {
        left: recognised.told(path),
        ..Loaded::new(&loaded, &deployment, classes)
    })
}
