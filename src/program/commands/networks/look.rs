//! `embed` and `predict`: a trained network on new image files, as JSON lines or Parquet, one image
//! after the other.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use seedpipe_artifact::{Metadata, SeenRow};
use seedpipe_base::{Refusal, hinted, neutral, text};
use seedpipe_engine::{Engine, Input};
use seedpipe_stages::Weights;
use seedpipe_stages::confusion::Class;
use seedpipe_stages::deliverable::Sources;
use seedpipe_stages::predictor::{Prediction, Predictor, best_outputs};
use seedpipe_stages::stored;
use seedpipe_stages::tools::Tools;
use serde_json::json;

use crate::commands::Invocation;
use crate::commands::networks::among::Among;
use crate::commands::networks::export;
use crate::commands::networks::rows::RowSink;
use crate::commands::values::at_least_one;
use crate::delivery::neighbours::Nearest;
use crate::project::image_files::image_files;
use crate::{terminal::output, torch::sibling};

/// A network as the command line names it.
#[derive(Args, Debug)]
pub struct NamedNetwork {
    /// A stage with a network, or a checkpoint
    #[arg(value_name = "STAGE|FILE")]
    pub network: String,
    /// The checkpoint's network, a name or as under `network:` [default: as the file says, or the
    /// known one that fits]
    #[arg(long = "network", value_name = "NETWORK")]
    pub architecture: Option<String>,
    /// Of several networks in the checkpoint, the one whose tensors' names begin so
    #[arg(long)]
    pub prefix: Option<String>,
}

/// What `embed` and `predict` share.
#[derive(Args, Debug)]
pub struct Looking {
    #[command(flatten)]
    pub named: NamedNetwork,
    /// A .parquet, .csv, .tsv or .jsonl file [default, and `-`: JSON lines on stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Embed {
    #[command(flatten)]
    pub looking: Looking,
    /// Image files, and folders with images below them
    #[arg(value_name = "IMAGE", required_unless_present = "among")]
    pub images: Vec<PathBuf>,
    /// Print the images nearest to this one instead of the embeddings
    #[arg(long, value_name = "IMAGE")]
    pub neighbours_of: Option<PathBuf>,
    /// Search embeddings that are stored already: a file by `embed -o`, or an `encode` stage
    #[arg(long, value_name = "FILE.parquet|STAGE", requires = "neighbours_of", conflicts_with_all = ["images", "output"])]
    pub among: Option<String>,
    /// How many of them
    #[arg(short = 'k', long, default_value_t = 10, value_name = "COUNT", value_parser = at_least_one)]
    pub neighbours: usize,
}

#[derive(Args, Debug)]
pub struct Predict {
    #[command(flatten)]
    pub looking: Looking,
    /// Image files, and folders with images below them
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// With the linear classifier of this `probe` stage on top
    #[arg(long, value_name = "STAGE")]
    pub with_head: Option<String>,
    /// How many of the best classes
    #[arg(long, default_value_t = 5, value_name = "COUNT", value_parser = at_least_one)]
    pub top: usize,
}

/// `embed`.
pub fn embed(invocation: Invocation, arguments: &Embed) -> Result<ExitCode> {
    let tools = sibling::tools(invocation.tools)?;
    let among = arguments.among.as_deref();
    let network = arguments.looking.named.network.as_str();
    let engine = engine_for(invocation, [Some(network), among])?;
    let among = among
        .map(|name| Among::open("--among ", name, engine.as_ref()))
        .transpose()?;
    let predictor =
        NetworkChoice::find(engine.as_ref(), &arguments.looking.named, None)?.open(&tools)?;
    let images = match among {
        None => image_files(&arguments.images)?,
        Some(_) => vec![],
    };
    if let Some(among) = &among {
        among.check(predictor.as_ref())?;
    }
    let query = arguments.neighbours_of.as_deref();
    let query = query
        .map(|image| features_of(predictor.as_ref(), image))
        .transpose()?;
    match (among, query) {
        (Some(among), Some(query)) => {
            let best = among.nearest(query, arguments.neighbours)?;
            print_nearest(best.iter().map(|(image, near)| (image.as_str(), *near)))?;
            Ok(ExitCode::SUCCESS)
        }
        (_, query) => embed_images(arguments, predictor.as_ref(), &images, query),
    }
}

/// Embeds images; prints the nearest to the query, if there is one.
fn embed_images(
    arguments: &Embed,
    predictor: &dyn Predictor,
    images: &[PathBuf],
    query: Option<Vec<f32>>,
) -> Result<ExitCode> {
    let mut nearest = query.map(|query| Nearest::to(query, arguments.neighbours));
    let output = arguments.looking.output.as_deref();
    let mut sheet = match (output, &nearest) {
        (None, Some(_)) => None,
        _ => Some(RowSink::create(
            output,
            &stored::said(predictor.identity())?,
        )?),
    };
    let mut failed = 0;
    predictor.predict(images, &mut |path, seen| {
        let Some(seen) = told(seen, &mut failed) else {
            return Ok(());
        };
        if let Some(nearest) = &mut nearest {
            nearest.offer(&seen.features, || text::of_name(path.as_os_str()));
        }
        match &mut sheet {
            Some(sheet) => sheet.write(SeenRow::Embedding {
                image: text::of_name(path.as_os_str()),
                embedding: seen.features,
            }),
            None => Ok(()),
        }
    })?;
    if let Some(sheet) = sheet {
        sheet.finish()?;
    }
    let best = nearest.iter().flat_map(Nearest::best);
    print_nearest(best.map(|(image, near)| (image.as_str(), *near)))?;
    Ok(end(failed, images.len()))
}

fn print_nearest<'best>(best: impl Iterator<Item = (&'best str, f32)>) -> Result<()> {
    for (image, similarity) in best {
        let line = json!({"image": image, "similarity": similarity}).to_string();
        output::print_json_text(&line)?;
    }
    Ok(())
}

/// The pipeline, when one of the names is no file's.
pub fn engine_for<const N: usize>(
    invocation: Invocation,
    names: [Option<&str>; N],
) -> Result<Option<Engine>> {
    let mut names = names.into_iter().flatten();
    match names.find(|name| !Path::new(name).is_file()) {
        None => Ok(None),
        Some(name) => match invocation.engine(&[]) {
            // A folder is told as such.
            Err(_) if Path::new(name).is_dir() => Ok(None),
            Err(_) if is_path(name) => Err(no_file(name).into()),
            engine => engine.map(Some),
        },
    }
}

/// Whether a name is a file's rather than a stage's.
pub fn is_path(name: &str) -> bool {
    name.contains('/') || Path::new(name).extension().is_some()
}

pub fn no_file(name: &str) -> Refusal {
    Refusal::new(format!("no file `{name}`, and no stage of that name"))
        .hint("name a checkpoint, or a stage of the pipeline (`seedpipe status` lists them)")
}

/// The pipeline, where the network or what is put on top is a stage of it.
pub fn engine_of(
    invocation: Invocation,
    named: &NamedNetwork,
    head: Option<&str>,
) -> Result<Option<Engine>> {
    match head {
        Some(_) => invocation.engine(&[]).map(Some),
        None => engine_for(invocation, [Some(named.network.as_str())]),
    }
}

/// `predict`.
pub fn predict(invocation: Invocation, arguments: &Predict) -> Result<ExitCode> {
    let tools = sibling::tools(invocation.tools)?;
    let head = arguments.with_head.as_deref();
    let engine = engine_of(invocation, &arguments.looking.named, head)?;
    let predictor =
        NetworkChoice::find(engine.as_ref(), &arguments.looking.named, head)?.open(&tools)?;
    let images = image_files(&arguments.images)?;
    let mut sheet = RowSink::create(arguments.looking.output.as_deref(), &Metadata::new())?;
    let mut failed = 0;
    predictor.predict(&images, &mut |path, seen| {
        let Some(seen) = told(seen, &mut failed) else {
            return Ok(());
        };
        let Some(probabilities) = seen.probabilities else {
            return Err(Refusal::new(format!(
                "`{}` has no classifier",
                arguments.looking.named.network
            ))
            .hint("add `--with-head STAGE` with a `probe` stage, or name a `finetune` stage")
            .into());
        };
        sheet.write(prediction(
            path,
            &probabilities,
            predictor.classes(),
            arguments.top,
        ))
    })?;
    sheet.finish()?;
    Ok(end(failed, images.len()))
}

/// The best classes; equal probabilities in the order of the outputs.
fn prediction(path: &Path, probabilities: &[f32], classes: &[Class], top: usize) -> SeenRow {
    let order = best_outputs(probabilities, top);
    let known = Some(classes).filter(|classes| classes.len() == probabilities.len());
    SeenRow::Prediction {
        image: text::of_name(path.as_os_str()),
        numbers: order
            .iter()
            .map(|&output| known.map_or(output as i32, |classes| classes[output].label))
            .collect(),
        names: known.map(|classes| {
            let names = order.iter().map(|&output| classes[output].name.clone());
            names.collect()
        }),
        probabilities: order.iter().map(|&output| probabilities[output]).collect(),
    }
}

/// What was seen; an image that can't be read is told and counted.
fn told(seen: Result<Prediction>, failed: &mut usize) -> Option<Prediction> {
    match seen {
        Ok(seen) => Some(seen),
        Err(error) => {
            *failed += 1;
            tell_left_out(&error);
            None
        }
    }
}

pub fn tell_left_out(error: &anyhow::Error) {
    // The names of the files are others'.
    let said = Refusal::of_chain(error.chain());
    let line = format!("warning: left out: {}", neutral::line(&said.message));
    output::error(&match &said.hint {
        Some(hint) => hinted(line, hint),
        None => line,
    });
}

pub fn end(failed: usize, of: usize) -> ExitCode {
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    output::error(&format!("error: {failed} of {of} images could not be read"));
    ExitCode::FAILURE
}

/// The network that looks, as the command line names it, and what is put on top.
pub struct NetworkChoice {
    named: Named,
    classifier: Option<Input>,
    images: Option<Input>,
}

enum Named {
    Stage(Box<Input>),
    File {
        path: PathBuf,
        network: Option<String>,
        prefix: Option<String>,
    },
}

impl NetworkChoice {
    /// A file, or a stage of the pipeline; `engine` is there when no file has the name, or for the
    /// head.
    pub fn find(engine: Option<&Engine>, named: &NamedNetwork, head: Option<&str>) -> Result<Self> {
        let path = Path::new(&named.network);
        let head = match (engine, head) {
            (Some(engine), Some(name)) => Some((engine, engine.project().stage(name)?)),
            _ => None,
        };
        let classifier = head.map(|(engine, head)| export::weights(engine, head));
        let of_head = head.map(|(engine, head)| export::images(engine, head));
        let is_stage = |engine: &&Engine| engine.project().stage(&named.network).is_ok();
        let engine = match path.is_dir() {
            true => engine.filter(is_stage),
            false => engine.filter(|_| !path.is_file()),
        };
        let Some(engine) = engine else {
            if path.extension().is_some_and(|ending| ending == "onnx") {
                return Err(Refusal::new(format!(
                    "`{}`: an ONNX file can't be read back",
                    named.network
                ))
                .hint("name the stage that it was exported from, or export it as safetensors")
                .into());
            }
            return Ok(Self {
                named: Named::File {
                    path: path.to_owned(),
                    network: named.architecture.clone(),
                    prefix: named.prefix.clone(),
                },
                classifier: classifier.transpose()?,
                images: of_head.transpose()?.flatten(),
            });
        };
        let stage = match engine.project().stage(&named.network) {
            Err(_) if is_path(&named.network) => return Err(no_file(&named.network).into()),
            found => found?,
        };
        let options = [
            ("--network", named.architecture.is_some()),
            ("--prefix", named.prefix.is_some()),
        ];
        if let Some((option, _)) = options.iter().find(|(_, given)| *given) {
            return Err(Refusal::new(format!(
                "stage `{}` knows its network, and `{option}` was given",
                stage.name
            ))
            .hint("leave it out: it is for checkpoint files")
            .into());
        }
        Ok(Self {
            named: Named::Stage(Box::new(export::weights(engine, stage)?)),
            classifier: classifier.transpose()?,
            images: of_head.unwrap_or_else(|| export::images(engine, stage))?,
        })
    }

    pub fn sources(&self) -> Sources<'_> {
        Sources {
            weights: match &self.named {
                Named::Stage(weights) => Weights::Stage(weights),
                Named::File {
                    path,
                    network,
                    prefix,
                } => Weights::File {
                    path,
                    network: network.as_deref(),
                    prefix: prefix.as_deref(),
                },
            },
            classifier: self.classifier.as_ref(),
            images: self.images.as_ref(),
        }
    }

    pub fn open(&self, tools: &Tools) -> Result<Box<dyn Predictor>> {
        let predictor = (tools.open)(&self.sources())?;
        if let Some(told) = predictor.told() {
            output::error(&format!("warning: {told}"));
        }
        Ok(predictor)
    }
}

fn features_of(predictor: &dyn Predictor, image: &Path) -> Result<Vec<f32>> {
    let mut features = Vec::new();
    predictor.predict(&[image.to_owned()], &mut |_, seen| {
        features = seen.context("`--neighbours-of`")?.features;
        Ok(())
    })?;
    Ok(features)
}
