//! `export STAGE|FILE`: a trained network as a file for other programs, with its model card beside
//! it.
//!
//! A stage of kind `export` is copied out of the cache; any other network is written now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use seedpipe_artifact::{FilesReader, WEIGHTS};
use seedpipe_base::Refusal;
use seedpipe_engine::{Engine, Input, Purpose, StageNode, durable};
use seedpipe_stages::Weights;
use seedpipe_stages::deliverable::Names;
use seedpipe_stages::deliverable::{
    DESCRIPTION, Deliverable, Format, Manner, Precision, Sample, Sources,
};
use seedpipe_stages::tools::Tools;
use serde_json::{Value, json};

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::commands::networks::look::{NamedNetwork, NetworkChoice, is_path, no_file};
use crate::commands::values::{at_least_one, export_format, export_names, export_precision};
use crate::delivery::model_card::{ModelCard, Origin};
use crate::project::cached::{TO_EXPORT, cached};
use crate::torch::onnx_speed::{self, MeasuredSpeed, Speed};
use crate::{terminal::figures, terminal::output, torch::sibling};

#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    pub named: NamedNetwork,
    /// Of the file; a stage of kind `export` has its own
    #[arg(long, value_parser = export_format())]
    pub format: Option<Format>,
    /// What its numbers are; `int8` in ONNX alone [default: fp32]
    #[arg(long, value_parser = export_precision())]
    pub precision: Option<Precision>,
    /// The network takes RGB of 0-1 and normalises it itself
    #[arg(long)]
    pub normalise: bool,
    /// Of safetensors: whose networks load it [default: torchvision]
    #[arg(long, value_parser = export_names())]
    pub names: Option<Names>,
    /// Of int8: images that it is calibrated on [default: 128]
    #[arg(long, value_name = "COUNT", value_parser = at_least_one)]
    pub calibration_images: Option<usize>,
    /// With the linear classifier of this `probe` stage on top
    #[arg(long, value_name = "STAGE")]
    pub with_head: Option<String>,
    /// The file [default: the stage's or checkpoint's name with the format's ending, here]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: Overrides,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

const IMAGES: &str = "images";

pub fn execute(invocation: Invocation, arguments: &Export) -> Result<ExitCode> {
    let tools = invocation.tools;
    let name = arguments.named.network.as_str();
    let is_there = Path::new(name).exists();
    let engine = match invocation.engine(&arguments.overrides.set) {
        Err(_) if is_there && arguments.with_head.is_none() => None,
        Err(_) if is_path(name) && !is_there => return Err(no_file(name).into()),
        engine => Some(engine?),
    };
    // A stage comes before a file of its name, which an export may have written.
    let find = |engine: &Engine| engine.project().stage(&arguments.named.network).cloned();
    let stage = engine.as_ref().and_then(|engine| find(engine).ok());
    if let (Some(engine), Some(stage)) = (&engine, &stage)
        && stage.of_kind::<seedpipe_stages::Export>().is_some()
    {
        return copy_out(engine, stage, arguments, tools);
    }
    let Some(format) = arguments.format else {
        let what = match &stage {
            Some(stage) => format!("stage `{}` holds a network", stage.name),
            None => format!("`{}` holds a network", arguments.named.network),
        };
        return Err(Refusal::new(format!("{what}, and no format was given"))
            .hint("add `--format safetensors`, `torchscript` or `onnx`")
            .into());
    };
    let manner = manner(arguments, format)?;
    manner.check().map_err(|(key, expected, got, hint)| {
        Refusal::new(format!("`--{key}`: expected {expected}, got {got}")).hint(hint)
    })?;
    if let (Some(engine), Some(stage)) = (&engine, &stage) {
        check_makes_network(engine, stage)?;
    }
    let head = arguments.with_head.as_deref();
    let choice = NetworkChoice::find(engine.as_ref(), &arguments.named, head)?;
    let tools = sibling::tools(tools)?;
    let sources = choice.sources();
    let delivered = (tools.export)(&sources, &manner)?;
    if let Some(told) = &delivered.told {
        output::error(&format!("warning: {told}"));
    }
    let speed = speed(&tools, &sources, &delivered)?;
    let head = match (&engine, head) {
        (Some(engine), Some(name)) => Some(engine.project().stage(name)?),
        _ => None,
    };
    let origin = match (&stage, sources.weights) {
        (None, Weights::File { path, .. }) => Origin::File(path),
        (stage, _) => Origin::Stage(stage.as_ref().context("BUG: weights of no stage")?),
    };
    finish(engine.as_ref(), arguments, origin, head, &delivered, speed)
}

fn check_makes_network(engine: &Engine, stage: &StageNode) -> Result<(), Refusal> {
    let kind = engine.registry().known(&stage.kind);
    let has_weights = kind.outputs().iter().any(|output| output.kind == WEIGHTS);
    if has_weights && kind.purpose(&stage.params) == Purpose::Judging {
        return Err(Refusal::new(format!(
            "stage `{}` makes a classifier, not a network",
            stage.name
        ))
        .hint(format!(
            "name the network's stage, and add `--with-head {}`",
            stage.name
        )));
    }
    Ok(())
}

/// Of a file in 8 bits: what it wins over one in fp32, or why nobody knows.
fn speed(
    tools: &Tools,
    sources: &Sources,
    delivered: &Deliverable,
) -> Result<Option<MeasuredSpeed>> {
    let manner = &delivered.description.manner;
    if manner.precision != Precision::Int8 {
        return Ok(None);
    }
    let exact = Manner {
        precision: Precision::Fp32,
        ..manner.clone()
    };
    let exact = (tools.export)(sources, &exact)?;
    onnx_speed::measure(&exact.bytes, &delivered.bytes).map(Some)
}

/// What the options ask for.
fn manner(arguments: &Export, format: Format) -> Result<Manner> {
    let precision = arguments.precision.unwrap_or_default();
    let mut sample = Sample::default();
    if let Some(count) = arguments.calibration_images {
        if precision != Precision::Int8 {
            return Err(Refusal::new(
                "`--calibration-images` is for 8 bits, which no other precision is calibrated for",
            )
            .hint("leave it out, or add `--precision int8`")
            .into());
        }
        sample.images = count;
    }
    Ok(Manner {
        format,
        precision,
        sample,
        normalise: arguments.normalise,
        names: arguments.names.unwrap_or_default(),
    })
}

/// Writes file and card, and tells of them.
fn finish(
    engine: Option<&Engine>,
    arguments: &Export,
    origin: Origin,
    head: Option<&StageNode>,
    delivered: &Deliverable,
    speed: Option<MeasuredSpeed>,
) -> Result<ExitCode> {
    let extension = delivered.description.manner.format.extension();
    let path = match (&arguments.output, origin) {
        (Some(path), _) => path.clone(),
        (None, Origin::File(file)) => beside_none(file, extension)?,
        (None, Origin::Stage(_)) => {
            PathBuf::from(format!("{}.{extension}", arguments.named.network))
        }
    };
    write(&path, &delivered.bytes)?;
    let card = ModelCard {
        engine,
        origin,
        head,
        file: &path,
        delivered,
    };
    let card_path = beside(&path);
    write(&card_path, card.text()?.as_bytes())?;
    tell(arguments, &path, &card_path, delivered, speed)?;
    Ok(ExitCode::SUCCESS)
}

/// Where a checkpoint's export goes: here, under its name, but not over it.
fn beside_none(file: &Path, extension: &str) -> Result<PathBuf> {
    let name = Path::new(file.file_name().unwrap_or(file.as_os_str()));
    let path = name.with_extension(extension);
    if path.exists() {
        return Err(Refusal::new(format!(
            "`{}` is there already, and may be what is exported",
            figures::path(&path)
        ))
        .hint("name the file to write: `-o FILE`")
        .into());
    }
    Ok(path)
}

/// Writes the file of an `export` stage where it is wanted.
fn copy_out(
    engine: &Engine,
    stage: &StageNode,
    arguments: &Export,
    tools: Option<Tools>,
) -> Result<ExitCode> {
    let given = [
        ("--format", arguments.format.is_some()),
        ("--precision", arguments.precision.is_some()),
        ("--normalise", arguments.normalise),
        ("--names", arguments.names.is_some()),
        (
            "--calibration-images",
            arguments.calibration_images.is_some(),
        ),
        ("--with-head", arguments.with_head.is_some()),
        ("--network", arguments.named.architecture.is_some()),
        ("--prefix", arguments.named.prefix.is_some()),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Refusal::new(format!(
            "stage `{}` says itself how it exports, and `{option}` was given",
            stage.name
        ))
        .hint("change its params or inputs in the pipeline")
        .into());
    }
    let artifact = cached(engine, &stage.name, TO_EXPORT)?;
    let files = FilesReader::open(&artifact.parts("file"))?.read_all()?;
    let (mut description, mut bytes) = (None, None);
    for file in files {
        match file.name.as_str() {
            DESCRIPTION => description = Some(serde_json::from_slice(&file.bytes)?),
            _ => bytes = Some(file.bytes),
        }
    }
    let (Some(description), Some(bytes)) = (description, bytes) else {
        bail!(
            "`{}`: expected a network and its description",
            artifact.directory.display()
        );
    };
    let connected = |slot: &str| {
        let connection = stage
            .inputs
            .get(slot)
            .and_then(|connections| connections.first());
        connection
            .map(|connection| engine.project().stage(&connection.stage))
            .transpose()
    };
    let network = connected("weights")?.context("BUG: an export without weights")?;
    let delivered = Deliverable {
        bytes,
        description,
        told: None,
    };
    let head = connected("classifier")?;
    // The file is there, whatever becomes of its speed.
    let speed = speed_of_stage(engine, [Some(network), head], &delivered, tools)
        .unwrap_or_else(|error| Some(Err(format!("the speed was not measured: {error:#}"))));
    let origin = Origin::Stage(network);
    finish(Some(engine), arguments, origin, head, &delivered, speed)
}

/// As [`speed`], of a file that lies in the cache; `stages` are those of the network and of the
/// classifier on top.
fn speed_of_stage(
    engine: &Engine,
    stages: [Option<&StageNode>; 2],
    delivered: &Deliverable,
    tools: Option<Tools>,
) -> Result<Option<MeasuredSpeed>> {
    if delivered.description.manner.precision != Precision::Int8 {
        return Ok(None);
    }
    let weights = |stage: Option<&StageNode>| stage.map(|stage| weights(engine, stage)).transpose();
    let [network, classifier] = [weights(stages[0])?, weights(stages[1])?];
    let tools = sibling::tools(tools)?;
    let sources = Sources {
        weights: Weights::Stage(network.as_ref().context("BUG: an export without weights")?),
        classifier: classifier.as_ref(),
        images: None,
    };
    speed(&tools, &sources, delivered)
}

/// The first output of a stage that holds weights.
pub fn weights(engine: &Engine, stage: &StageNode) -> Result<Input> {
    let artifact = cached(engine, &stage.name, TO_EXPORT)?;
    let outputs = &artifact.manifest.outputs;
    let Some((output, record)) = outputs.iter().find(|(_, record)| record.kind == WEIGHTS) else {
        return Err(Refusal::new(format!(
            "stage `{}` makes no weights (kind `{}`)",
            stage.name, stage.kind
        ))
        .hint(
            "name a stage of kind `import`, `pretrain`, `distill` or `finetune`; for `--with-head` a `probe`",
        )
        .into());
    };
    Ok(Input {
        stage: stage.name.clone(),
        output: output.clone(),
        kind: record.kind.clone(),
        content: record.content,
        parts: artifact.parts(output),
        recipe: artifact.manifest.recipe.clone(),
    })
}

/// The images that a stage is connected to.
pub fn images(engine: &Engine, stage: &StageNode) -> Result<Option<Input>> {
    let Some([connection]) = stage.inputs.get(IMAGES).map(Vec::as_slice) else {
        return Ok(None);
    };
    let artifact = cached(engine, &connection.stage, TO_EXPORT)?;
    let record = artifact
        .manifest
        .outputs
        .get(&connection.output)
        .with_context(|| format!("BUG: no output `{}`", connection.output))?;
    Ok(Some(Input {
        stage: connection.stage.clone(),
        output: connection.output.clone(),
        kind: record.kind.clone(),
        content: record.content,
        parts: artifact.parts(&connection.output),
        recipe: artifact.manifest.recipe.clone(),
    }))
}

/// Writes a file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs_err::create_dir_all(folder)?;
    }
    durable::write(path, bytes)
        .with_context(|| format!("`{}` can't be written", figures::path(path)))
}

/// `student.onnx` → `student.onnx.md`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".md");
    name.into()
}

fn tell(
    arguments: &Export,
    path: &Path,
    card: &Path,
    delivered: &Deliverable,
    speed: Option<MeasuredSpeed>,
) -> Result<()> {
    let description = &delivered.description;
    let manner = &description.manner;
    if arguments.json {
        return output::print_json(&json!({
            "file": path,
            "card": card,
            "format": manner.format,
            "precision": manner.precision,
            "names": manner.names,
            "bytes": delivered.bytes.len(),
            "architecture": description.architecture,
            "features": description.features,
            "classes": description.classes,
            "figures": description.figures,
            "images_per_second": match &speed {
                Some(Ok(Speed { fp32, int8, .. })) => json!({"fp32": fp32, "int8": int8}),
                _ => Value::Null,
            },
        }));
    }
    let classes = match description.classes {
        Some(classes) => format!(", {classes} classes"),
        None => String::new(),
    };
    output::print(&format!(
        "{}: {} as {} {}, {} parameters, {} features{classes}, {}",
        figures::path(path),
        description.architecture,
        manner.format.name(),
        manner.precision.name(),
        figures::count(description.figures["parameters"] as u64),
        description.features,
        figures::bytes(delivered.bytes.len() as u64),
    ))?;
    if manner.precision == Precision::Int8 {
        output::print(&format!("  8 bits: {}", cost(&description.figures)))?;
    }
    match speed {
        None => {}
        Some(Ok(speed)) => output::print(&format!("  8 bits: {}", speed.line()))?,
        Some(Err(why)) => output::error(&format!("warning: {why}")),
    }
    output::print(&format!("{}: its model card", figures::path(card)))
}

/// What 8 bits cost, as far as it is known.
fn cost(known: &BTreeMap<String, f64>) -> String {
    let figure = |name: &str| known.get(name).copied();
    let mut text = String::new();
    if let Some(cosine) = figure("cosine_mean") {
        text.push_str(&format!("cosine to f32 {cosine:.4}"));
    }
    if let (Some(before), Some(after)) = (figure("top1_fp32"), figure("top1_int8")) {
        let (before, after) = (figures::value(before), figures::value(after));
        text.push_str(&format!(", top-1 {after} instead of {before}"));
    }
    if let (Some(test), Some(calibration)) = (figure("test_images"), figure("calibration_images")) {
        let (test, calibration) = (
            figures::count(test as u64),
            figures::count(calibration as u64),
        );
        text.push_str(&format!(" on {test} images, calibrated on {calibration}"));
    }
    text
}
