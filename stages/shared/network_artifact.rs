//! Networks to and from weights artifacts: the metadata holds architecture and preprocessing, so
//! that the artifact is enough.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use seedpipe_artifact::{Dtype, Metadata, WeightRow, WeightsReader, WeightsWriter};
use seedpipe_base::Refusal;
use seedpipe_engine::{Input, StageContext};
use seedpipe_imaging::{Adjust, Crop, Normalise, Policy, RecipeName};
use seedpipe_learn::architecture::{self, Architecture, Preprocessing};
use seedpipe_learn::checkpoint_file;
use seedpipe_learn::network::Network;
use seedpipe_learn::tensors;
use tch::{Device, Tensor};

pub(crate) const ARCHITECTURE: &str = "architecture";
pub(crate) const PREPROCESSING: &str = "preprocessing";

/// A network and what it wants done to an image first.
pub struct Prepared {
    pub network: Network,
    pub preprocessing: Preprocessing,
}

pub fn save_network(path: &Path, network: &Network, preprocessing: &Preprocessing) -> Result<()> {
    save_tensors(
        path,
        &network.state(),
        &serde_json::to_string(network.architecture())?,
        &serde_json::to_string(preprocessing)?,
    )
}

/// Writes named tensors; `architecture` and `preprocessing` are JSON.
pub fn save_tensors(
    path: &Path,
    state: &[(String, Tensor)],
    architecture: &str,
    preprocessing: &str,
) -> Result<()> {
    let metadata = Metadata::from([
        (ARCHITECTURE.to_owned(), architecture.to_owned()),
        (PREPROCESSING.to_owned(), preprocessing.to_owned()),
    ]);
    let mut writer = WeightsWriter::create(path, &metadata)?;
    for (name, tensor) in state {
        let (dtype, shape, data) = tensors::to_bytes(tensor);
        let dtype = Dtype::from_name(&dtype.to_lowercase())
            .with_context(|| format!("BUG: no artifact dtype for {dtype}"))?;
        writer.write(&[WeightRow {
            name: name.clone(),
            dtype,
            shape,
            data,
        }])?;
    }
    writer.finish()?;
    Ok(())
}

/// The tensors of a weights artifact by name, and its architecture as JSON.
pub fn load_tensors(input: &Input) -> Result<(BTreeMap<String, Tensor>, Metadata)> {
    read_tensors(&input.parts, &of(input))
}

pub fn load_network(input: &Input, device: Device) -> Result<Prepared> {
    read_network(&input.parts, &of(input), device)
}

fn of(input: &Input) -> String {
    format!("weights of stage `{}`", input.stage)
}

/// - `of`: what the parts are, for messages
fn read_tensors(parts: &[PathBuf], of: &str) -> Result<(BTreeMap<String, Tensor>, Metadata)> {
    let reader = WeightsReader::open(parts)?;
    let tensors = reader
        .read_all()?
        .into_iter()
        .map(|row| {
            let tensor =
                tensors::from_bytes(&row.dtype.name().to_uppercase(), &row.shape, &row.data)
                    .with_context(|| format!("{of}: tensor `{}`", row.name))?;
            Ok((row.name, tensor))
        })
        .collect::<Result<_>>()?;
    Ok((tensors, reader.metadata().clone()))
}

/// - `of`: what the parts are, for messages
pub fn read_network(parts: &[PathBuf], of: &str, device: Device) -> Result<Prepared> {
    let (tensors, metadata) = read_tensors(parts, of)?;
    let field = |name: &str| {
        let said = metadata.get(name);
        said.with_context(|| format!("{of}: the artifact doesn't say its {name}"))
    };
    let architecture: Architecture = serde_json::from_str(field(ARCHITECTURE)?)
        .with_context(|| format!("{of} don't hold an image network"))?;
    let preprocessing = serde_json::from_str(field(PREPROCESSING)?)
        .with_context(|| format!("{of} hold no preprocessing"))?;
    let network =
        Network::with_weights(&architecture, tensors, device).with_context(|| of.to_owned())?;
    Ok(Prepared {
        network,
        preprocessing,
    })
}

/// The network of a checkpoint file, which a param `checkpoint` names; says what of the file is not
/// used.
pub fn load_checkpoint(
    context: &StageContext,
    checkpoint: &Path,
    architecture: &Architecture,
    prefix: Option<&str>,
    device: Device,
) -> Result<Network> {
    let path = context.resolve(checkpoint);
    let (network, recognised) = checkpoint_file::load_network(&path, architecture, prefix, device)
        .context("key `params.checkpoint`")?;
    if let Some(told) = recognised.told(checkpoint) {
        context.warn(told);
    }
    Ok(network)
}

/// A new network whose every tensor is drawn from a generator of its own name.
pub fn initialise(
    context: &StageContext,
    architecture: &Architecture,
    device: Device,
) -> Result<Network> {
    Ok(Network::initialise(
        architecture,
        |name| context.rng("initialise", name.as_bytes()),
        device,
    )?)
}

/// A network on a trained one's backbone; what the donor has no tensor for is drawn anew.
pub fn initialise_from(
    context: &StageContext,
    architecture: &Architecture,
    donor: &Network,
    device: Device,
) -> Result<Network> {
    Ok(Network::initialise_from(
        architecture,
        donor,
        |name| context.rng("initialise", name.as_bytes()),
        device,
    )?)
}

pub fn normalise(preprocessing: &Preprocessing) -> Normalise {
    Normalise {
        mean: preprocessing.mean,
        std: preprocessing.std,
    }
}

/// How a network looks at an image when it is evaluated.
pub fn eval_policy(preprocessing: &Preprocessing) -> Result<Policy> {
    let adjust = Adjust {
        crop_ratio: Some(preprocessing.crop_ratio),
        filter: Some(preprocessing.filter),
        ..Adjust::default()
    };
    let mut policy = Policy::new(RecipeName::Eval, Some(preprocessing.size), &adjust)
        .map_err(|refusal| anyhow!("{}", refusal.place("preprocessing")))?;
    if preprocessing.crop == architecture::CropOrder::BeforeResize {
        policy.crop = Crop::CentreFirst {
            ratio: preprocessing.crop_ratio,
        };
    }
    Ok(policy)
}

/// A trained network's preprocessing: the user's own, or the architecture's at the size that it was
/// trained at, resized in floats as the views of its training were.
pub fn trained_preprocessing(
    own: Option<&Preprocessing>,
    network: &Architecture,
    size: u32,
) -> Preprocessing {
    own.cloned().unwrap_or_else(|| {
        let published = network.default_preprocessing();
        Preprocessing {
            size,
            crop_ratio: if size < 96 { 1.0 } else { 0.875 },
            crop: architecture::CropOrder::AfterResize,
            filter: published.filter.in_floats(),
            ..published
        }
    })
}

/// Refuses an impossible `network:` block.
pub fn validate_architecture(key: &str, architecture: &Architecture) -> Result<(), Refusal> {
    let valid = architecture.validate();
    valid.map_err(|refusal| refusal.within(key))
}
