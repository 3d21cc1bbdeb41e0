//! `embed` and `predict`: a trained network on new image files, as JSON lines or Parquet, one image after the other.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{SeenRow, SeenWriter};
use seedpipe_engine::Input;
use seedpipe_stages::deliverable::Sources;
use seedpipe_stages::looking::{Eye, Looker, Seen};
use seedpipe_stages::tools::Tools;
use serde_json::{Value, json};

use crate::cli::{Embed, Looking, Predict};
use crate::commands::{Invocation, export};
use crate::image_files::image_files;
use crate::neighbours::Nearest;
use crate::usage::UsageError;
use crate::{figures, output, sibling};

/// `embed`.
pub fn embed(invocation: Invocation, arguments: &Embed) -> Result<ExitCode> {
    let Some(tools) = invocation.tools else {
        match sibling::become_tensor_program(None)? {}
    };
    let images = image_files(&arguments.looking.images)?;
    let eye = Network::find(invocation, &arguments.looking, None)?.open(&tools)?;
    let mut nearest = match &arguments.neighbours_of {
        None => None,
        Some(query) => Some(Nearest::to(
            features_of(eye.as_ref(), query)?,
            arguments.neighbours,
        )),
    };
    let mut sheet = match (&arguments.looking.output, &nearest) {
        (Some(path), _) => Some(Sheet::create(path)?),
        (None, Some(_)) => None,
        (None, None) => Some(Sheet::Lines),
    };
    let mut failed = 0;
    eye.look(&images, &mut |path, seen| {
        let Some(seen) = told(seen, &mut failed) else {
            return Ok(());
        };
        if let Some(nearest) = &mut nearest {
            nearest.offer(path, &seen.features);
        }
        match &mut sheet {
            Some(sheet) => sheet.write(SeenRow::Embedding {
                image: path.display().to_string(),
                embedding: seen.features,
            }),
            None => Ok(()),
        }
    })?;
    if let Some(sheet) = sheet {
        sheet.finish()?;
    }
    for (path, similarity) in nearest.iter().flat_map(Nearest::best) {
        output::print(&json!({"image": path, "similarity": similarity}).to_string())?;
    }
    Ok(end(failed, images.len()))
}

/// `predict`.
pub fn predict(invocation: Invocation, arguments: &Predict) -> Result<ExitCode> {
    let Some(tools) = invocation.tools else {
        match sibling::become_tensor_program(None)? {}
    };
    let images = image_files(&arguments.looking.images)?;
    let head = arguments.with_head.as_deref();
    let eye = Network::find(invocation, &arguments.looking, head)?.open(&tools)?;
    let mut sheet = match &arguments.looking.output {
        Some(path) => Sheet::create(path)?,
        None => Sheet::Lines,
    };
    let mut failed = 0;
    eye.look(&images, &mut |path, seen| {
        let Some(seen) = told(seen, &mut failed) else {
            return Ok(());
        };
        let Some(probabilities) = seen.probabilities else {
            return Err(UsageError::new(
                format!("`{}` has no classifier", arguments.looking.network),
                "add `--with-head STAGE` with a `probe` stage, or name a `finetune` stage",
            )
            .into());
        };
        sheet.write(prediction(
            path,
            &probabilities,
            eye.class_names(),
            arguments.top,
        ))
    })?;
    sheet.finish()?;
    Ok(end(failed, images.len()))
}

/// The best classes; equal probabilities in the order of the classes.
fn prediction(path: &Path, probabilities: &[f32], names: &[String], top: usize) -> SeenRow {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    order.truncate(top);
    SeenRow::Prediction {
        image: path.display().to_string(),
        classes: order.iter().map(|&class| class as i32).collect(),
        names: order
            .iter()
            .map(|&class| {
                names
                    .get(class)
                    .cloned()
                    .unwrap_or_else(|| class.to_string())
            })
            .collect(),
        probabilities: order.iter().map(|&class| probabilities[class]).collect(),
    }
}

/// What was seen; an image that can't be read is told and counted.
fn told(seen: Result<Seen>, failed: &mut usize) -> Option<Seen> {
    match seen {
        Ok(seen) => Some(seen),
        Err(error) => {
            *failed += 1;
            output::error(&format!("warning: left out: {error:#}"));
            None
        }
    }
}

fn end(failed: usize, of: usize) -> ExitCode {
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    output::error(&format!("error: {failed} of {of} images could not be read"));
    ExitCode::FAILURE
}

/// The network that looks, as the command line names it.
enum Network {
    Stage {
        weights: Box<Input>,
        classifier: Option<Box<Input>>,
        images: Option<Box<Input>>,
    },
    File {
        path: PathBuf,
        network: Option<String>,
    },
}

impl Network {
    fn find(invocation: Invocation, looking: &Looking, head: Option<&str>) -> Result<Self> {
        let path = Path::new(&looking.network);
        if path.is_file() {
            if head.is_some() {
                return Err(UsageError::new(
                    format!("`--with-head` with the file `{}`", looking.network),
                    "name the network's stage, or export it with its head first",
                )
                .into());
            }
            return Ok(Network::File {
                path: path.to_owned(),
                network: looking.architecture.clone(),
            });
        }
        let engine = invocation.engine(&[])?;
        let stage = engine.project().stage(&looking.network)?;
        let head = head.map(|name| engine.project().stage(name)).transpose()?;
        let boxed = |input: Option<Input>| input.map(Box::new);
        Ok(Network::Stage {
            weights: Box::new(export::weights(&engine, stage)?),
            classifier: boxed(
                head.map(|head| export::weights(&engine, head))
                    .transpose()?,
            ),
            images: boxed(export::images(&engine, head.unwrap_or(stage))?),
        })
    }

    fn open(&self, tools: &Tools) -> Result<Box<dyn Eye>> {
        (tools.open)(&match self {
            Network::Stage {
                weights,
                classifier,
                images,
            } => Looker::Stage(Sources {
                weights,
                classifier: classifier.as_deref(),
                images: images.as_deref(),
            }),
            Network::File { path, network } => Looker::File {
                path,
                network: network.as_deref(),
            },
        })
    }
}

fn features_of(eye: &dyn Eye, image: &Path) -> Result<Vec<f32>> {
    let mut features = Vec::new();
    eye.look(&[image.to_owned()], &mut |_, seen| {
        features = seen.context("`--neighbours-of`")?.features;
        Ok(())
    })?;
    Ok(features)
}

/// A file under another name until it is whole; removed when it never is.
struct Draft {
    draft: PathBuf,
    path: PathBuf,
}

impl Draft {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self {
            draft: path.with_file_name(format!(".{name}.{}.part", process::id())),
            path: path.to_owned(),
        }
    }

    fn keep(self) -> Result<()> {
        Ok(fs_err::rename(&self.draft, &self.path)?)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.draft.exists() {
            let _ = fs_err::remove_file(&self.draft); // what went wrong is told already
        }
    }
}

/// Where the rows go.
enum Sheet {
    /// JSON on stdout.
    Lines,
    JsonFile {
        writer: BufWriter<fs_err::File>,
        draft: Draft,
    },
    Parquet {
        writer: Box<SeenWriter>,
        draft: Draft,
    },
}

impl Sheet {
    fn create(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => {
                let draft = Draft::of(path);
                Ok(Sheet::Parquet {
                    writer: Box::new(SeenWriter::create(&draft.draft)),
                    draft,
                })
            }
            Some("jsonl" | "json") => {
                let draft = Draft::of(path);
                Ok(Sheet::JsonFile {
                    writer: BufWriter::new(fs_err::File::create(&draft.draft)?),
                    draft,
                })
            }
            _ => Err(UsageError::new(
                format!(
                    "`--output {}`: expected a name that ends in .parquet or .jsonl",
                    path.display()
                ),
                "leave it out for JSON lines on stdout",
            )
            .into()),
        }
    }

    fn write(&mut self, row: SeenRow) -> Result<()> {
        match self {
            Sheet::Lines => output::print(&line(&row).to_string()),
            Sheet::JsonFile { writer, .. } => Ok(writeln!(writer, "{}", line(&row))?),
            Sheet::Parquet { writer, .. } => Ok(writer.write(row)?),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Sheet::Lines => Ok(()),
            Sheet::JsonFile { mut writer, draft } => {
                writer.flush()?;
                writer.get_ref().sync_all()?;
                draft.keep()
            }
            Sheet::Parquet { writer, draft } => {
                if !writer.finish()? {
                    bail!(
                        "no image could be read, so `{}` was not written",
                        figures::path(&draft.path)
                    );
                }
                draft.keep()
            }
        }
    }
}

fn line(row: &SeenRow) -> Value {
    match row {
        SeenRow::Embedding { image, embedding } => json!({"image": image, "embedding": embedding}),
        SeenRow::Prediction {
            image,
            classes,
            names,
            probabilities,
        } => {
            let best: Vec<Value> = classes
                .iter()
                .zip(names)
                .zip(probabilities)
                .map(|((class, name), probability)| {
                    json!({"class": class, "name": name, "probability": probability})
                })
                .collect();
            json!({"image": image, "best": best})
        }
    }
}
