//! Embeddings that are stored already, in a file by `embed` or in an `encode` stage's artifact:
//! what `embed --neighbours-of IMAGE --among` and `duplicates` look through.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seedpipe_artifact::{EMBEDDINGS, EmbeddingsReader, ImagesReader, SeenReader};
use seedpipe_base::Refusal;
use seedpipe_engine::{Engine, Input};
use seedpipe_stages::predictor::Predictor;
use seedpipe_stages::stored;
use serde_json::Value;

use crate::commands::networks::export;
use crate::delivery::neighbours::Nearest;
use crate::project::cached::{TO_EXPORT, cached};
use crate::terminal::figures;

/// Rows of a stage that are read at once.
const ROWS: usize = 4096;

/// Where the embeddings lie.
pub enum Among {
    File {
        path: PathBuf,
        reader: SeenReader,
    },
    Stage {
        name: String,
        params: Value,
        embeddings: EmbeddingsReader,
        images: Box<Input>,
    },
}

impl Among {
    /// Opens a Parquet file, or the current artifact of a stage; `engine` is there when no file has
    /// the name.
    ///
    /// - `argument`: what names it, for messages
    pub fn open(argument: &str, name: &str, engine: Option<&Engine>) -> Result<Self> {
        let path = Path::new(name);
        let is_parquet = path.extension().is_some_and(|ending| ending == "parquet");
        let Some(engine) = engine.filter(|_| !path.is_file() && !is_parquet) else {
            if !path.is_file() || !is_parquet {
                let got = if path.is_file() { "another" } else { "nothing" };
                return Err(Refusal::new(format!(
                    "`{argument}{name}`: expected a .parquet file, found {got}"
                ))
                .hint("write it with `seedpipe embed … -o FILE.parquet`, or name an `encode` stage")
                .into());
            }
            let reader = SeenReader::open(path)?;
            let path = path.to_owned();
            return Ok(Among::File { path, reader });
        };
        let stage = engine.project().stage(name)?;
        let artifact = cached(engine, &stage.name, TO_EXPORT)?;
        let mut outputs = artifact.manifest.outputs.iter();
        let Some((output, _)) = outputs.find(|(_, record)| record.kind == EMBEDDINGS) else {
            return Err(Refusal::new(format!(
                "stage `{name}` holds no embeddings (kind `{}`)",
                stage.kind
            ))
            .hint("name a stage of kind `encode`, or a file that `embed` wrote")
            .into());
        };
        let images = export::images(engine, stage)?;
        Ok(Among::Stage {
            name: name.to_owned(),
            params: artifact.manifest.recipe.params.clone(),
            embeddings: EmbeddingsReader::open(&artifact.parts(output))?,
            images: Box::new(images.context("BUG: embeddings of no images")?),
        })
    }

    /// Refuses embeddings of another network.
    pub fn check(&self, predictor: &dyn Predictor) -> Result<()> {
        match self {
            Among::File { path, reader } => {
                let place = format!("`{}`", figures::path(path));
                stored::check_file(&place, &reader.metadata(), predictor.identity())
            }
            Among::Stage {
                name,
                params,
                embeddings,
                ..
            } => {
                let place = format!("stage `{name}`");
                stored::check_stage(&place, embeddings.header(), params, predictor.identity())?;
                if embeddings.dimension() != predictor.dimension() {
                    bail!(
                        "{place}: expected embeddings of {} values, got {}",
                        predictor.dimension(),
                        embeddings.dimension()
                    );
                }
                Ok(())
            }
        }
    }

    pub fn rows(&self) -> usize {
        match self {
            Among::File { reader, .. } => reader.rows(),
            Among::Stage { embeddings, .. } => embeddings.rows(),
        }
    }

    /// Values of an embedding.
    pub fn dimension(&self) -> Result<usize> {
        match self {
            Among::File { reader, .. } => Ok(reader.dimension()?),
            Among::Stage { embeddings, .. } => Ok(embeddings.dimension()),
        }
    }

    /// The embeddings of some rows, `[rows, dimension]`, and the images' ids where it is a stage's.
    pub fn read(&self, rows: Range<usize>, dimension: usize) -> Result<(Vec<u64>, Vec<f32>)> {
        match self {
            Among::File { reader, .. } => {
                let mut values = Vec::with_capacity(rows.len() * dimension);
                reader.each(rows, dimension, |_, embedding| values.extend(embedding))?;
                Ok((Vec::new(), values))
            }
            Among::Stage { embeddings, .. } => {
                let read = embeddings.read(rows)?;
                Ok((read.ids, read.values))
            }
        }
    }

    /// The images that a stage's embeddings are of; `None` for a file.
    pub fn images(&self) -> Result<Option<ImagesReader>> {
        match self {
            Among::File { .. } => Ok(None),
            Among::Stage { images, .. } => Ok(Some(ImagesReader::open(&images.parts)?)),
        }
    }

    /// The `count` nearest to a query, best first: what the image is called, and the cosine.
    pub fn nearest(&self, query: Vec<f32>, count: usize) -> Result<Vec<(String, f32)>> {
        let length = query.len();
        match self {
            Among::File { reader, .. } => {
                let mut nearest = Nearest::to(query, count);
                reader.each(0..reader.rows(), length, |image, embedding| {
                    nearest.offer(embedding, || image.to_owned());
                })?;
                Ok(nearest.best().to_vec())
            }
            Among::Stage {
                embeddings, images, ..
            } => {
                let mut nearest = Nearest::to(query, count);
                for start in (0..embeddings.rows()).step_by(ROWS) {
                    let rows = start..(start + ROWS).min(embeddings.rows());
                    let read = embeddings.read(rows)?;
                    for (&id, embedding) in read.ids.iter().zip(read.values.chunks(length)) {
                        nearest.offer(embedding, || id);
                    }
                }
                let images = ImagesReader::open(&images.parts)?;
                let named = nearest.best().iter().map(|&(id, similarity)| {
                    let row = u32::try_from(id).ok().and_then(|id| images.row_of(id));
                    let row = row.with_context(|| format!("there is no image {id}"))?;
                    Ok((images.source(row)?, similarity))
                });
                named.collect()
            }
        }
    }
}
