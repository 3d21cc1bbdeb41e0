//! A network by what names it, a stage of a pipeline or a checkpoint file: what everything takes
//! that takes a finished network outside a run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use seedpipe_base::{Refusal, mismatch};
use seedpipe_engine::{Input, yaml_value};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::checkpoint_file::{self, Checkpoint};
use seedpipe_learn::weights_file;
use tch::Device;

use crate::shared::confusion::Class;
use crate::shared::fitting::{Fitting, Guess, fitting};
use crate::shared::network_artifact::{ARCHITECTURE, PREPROCESSING, Prepared, load_network};

/// Where a network's weights come from.
#[derive(Clone, Copy)]
pub enum Weights<'input> {
    /// Of a pipeline: a `weights/v1` of an image network.
    Stage(&'input Input),
    /// A checkpoint.
    File {
        path: &'input Path,
        /// A name, or YAML or JSON as under `network:`; not needed where the file's metadata says
        /// it, or a network that is known fits.
        network: Option<&'input str>,
        /// Of several networks in it, the one whose tensors' names begin so.
        prefix: Option<&'input str>,
    },
}

/// As messages call it.
impl fmt::Display for Weights<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weights::Stage(input) => write!(formatter, "stage `{}`", input.stage),
            Weights::File { path, .. } => write!(formatter, "`{}`", path.display()),
        }
    }
}

/// A network that was read.
pub struct Loaded {
    pub prepared: Prepared,
    /// Its own classes by output, as a file that was exported names them; empty when not known.
    pub classes: Vec<Class>,
    /// What of a file was guessed, or is not used, for people.
    pub told: Option<String>,
}

impl Weights<'_> {
    /// Reads the network, onto the CPU.
    ///
    /// # Errors
    /// A message for the user.
    pub fn load(&self) -> Result<Loaded> {
        match *self {
            Weights::Stage(input) => Ok(Loaded {
                prepared: load_network(input, Device::Cpu)?,
                classes: Vec::new(),
                told: None,
            }),
            Weights::File {
                path,
                network,
                prefix,
            } => of_file(path, network, prefix),
        }
    }
}

fn of_file(path: &Path, network: Option<&str>, prefix: Option<&str>) -> Result<Loaded> {
    let checkpoint = checkpoint_file::read(path)?;
    let metadata = weights_file::metadata(path)?;
    let of_metadata = || format!("`{}`: its metadata", path.display());
    let mut told = Vec::new();
    let architecture: Architecture = match (network, metadata.get(ARCHITECTURE)) {
        (Some(network), _) => network_of("--network", network)?,
        (None, Some(said)) => serde_json::from_str(said).with_context(of_metadata)?,
        (None, None) => {
            let guess = known(&checkpoint, &metadata, prefix)?;
            told.push(format!(
                "`{}` doesn't say its network; it fits {}, and `--network` would take another",
                path.display(),
                serde_json::to_string(&guess.network)?
            ));
            guess.network
        }
    };
    let (network, recognised) =
        checkpoint_file::to_network(checkpoint, &architecture, prefix, Device::Cpu)?;
    told.extend(recognised.told(path));
    let preprocessing: Preprocessing = match metadata.get(PREPROCESSING) {
        Some(said) => serde_json::from_str(said).with_context(of_metadata)?,
        None => architecture.default_preprocessing(),
    };
    preprocessing.validate().with_context(of_metadata)?;
    Ok(Loaded {
        classes: classes_of_file(&metadata).with_context(of_metadata)?,
        prepared: Prepared {
            network,
            preprocessing,
        },
        told: (!told.is_empty()).then(|| told.join("\nwarning: ")),
    })
}

/// The network that an option says: a name, or what stands under `network:`.
///
/// # Errors
/// When there is no such network, with the nearest name.
pub fn network_of(option: &str, said: &str) -> Result<Architecture, Refusal> {
    let place = || format!("{option} {said}");
    let architecture: Architecture = match said.trim_start().starts_with('{') {
        false => Architecture::named(said),
        true => serde_json::from_value(yaml_value(option, said)?)
            .map_err(|error| mismatch::refusal_of(&error.to_string()).place(place()))?,
    };
    let valid = architecture.validate();
    // The call is at fault, not what it works on.
    valid.map_err(|refusal| {
        Refusal::new(refusal.what())
            .place(place())
            .hint_if(refusal.hint.clone())
    })?;
    Ok(architecture)
}

/// The known network that a file fits best: what `init`, `import` by hand and every command takes
/// where nothing says another.
///
/// # Errors
/// When it fits none.
pub fn guessed(path: &Path) -> Result<Guess> {
    known(
        &checkpoint_file::read(path)?,
        &weights_file::metadata(path)?,
        None,
    )
}

fn known(
    checkpoint: &Checkpoint,
    metadata: &BTreeMap<String, String>,
    prefix: Option<&str>,
) -> Result<Guess> {
    let Fitting { guesses, nearest } = fitting(checkpoint, metadata, prefix)?;
    if let Some(best) = guesses.into_iter().next() {
        return Ok(best);
    }
    let got = match nearest {
        Some(nearest) => format!(
            "none that fits; nearest is `{}`, of whose {} tensors {} are missing or of another shape",
            nearest.network, nearest.of, nearest.unmatched
        ),
        None => "none that fits".to_owned(),
    };
    let path = checkpoint.path.display();
    bail!(
        Refusal::failure(format!("`{path}`: expected a network that is known, got {got}")).hint(
            format!("name its network: `--network`, or `network:` in a pipeline; `seedpipe network inspect {path}` lists its tensors")
        )
    )
}

/// Metadata of an exported file: the classes' names and labels by output, as lists.
pub const NAMES: &str = "classes";
pub const LABELS: &str = "labels";

/// The classes by output as the metadata of an exported file say them; none where they don't.
///
/// # Errors
/// When they are not what an export writes.
fn classes_of_file(metadata: &BTreeMap<String, String>) -> Result<Vec<Class>> {
    let Some(names) = metadata.get(NAMES) else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = serde_json::from_str(names)?;
    let labels: Vec<i32> = match metadata.get(LABELS) {
        Some(labels) => serde_json::from_str(labels)?,
        None => (0..).take(names.len()).collect(),
    };
    if labels.len() != names.len() {
        bail!(
            Refusal::expected(format!("{} labels, one a name", names.len()), labels.len())
                .failed()
                .key(LABELS)
                .hint("export the network again")
        );
    }
    let classes = labels.into_iter().zip(names);
    Ok(classes.map(|(label, name)| Class { label, name }).collect())
}
