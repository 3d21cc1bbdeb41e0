//! What the targets of a plan will take: of each `encode` on views, the embeddings that it will
//! store and how often its network looks.
//!
//! Everything is told from params and from what is already cached; no network is built and no image
//! read.

use anyhow::{Context, Result};
use seedpipe_artifact::{ImagesReader, WeightsReader};
use seedpipe_engine::{Artifact, Engine, Project, Purpose, StageNode};
use seedpipe_learn::architecture::Architecture;

use crate::augment::Augment;
use crate::encode::{Embedding, Encode, Storage};
use crate::shared::network_artifact::ARCHITECTURE;
use crate::shared::selection::rows_of_split;

/// The embeddings that an `encode` stage stores of views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageEstimate {
    pub images: Images,
    /// Of each image.
    pub views: u64,
    /// Values of an embedding; none where only the network's file says it.
    pub dimension: Option<u64>,
    /// `f16` or `f32`.
    pub precision: &'static str,
}

/// How many images are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Images {
    Known(u64),
    /// Until this stage has run.
    UnknownUntil(String),
}

impl StorageEstimate {
    /// Views that the network looks at, and embeddings that are stored.
    pub fn passes(&self) -> Option<u64> {
        match self.images {
            Images::Known(images) => Some(images * self.views),
            Images::UnknownUntil(_) => None,
        }
    }

    /// Bytes of an embedding.
    pub fn width(&self) -> Option<u64> {
        let value = if self.precision == "f16" { 2 } else { 4 };
        self.dimension.map(|dimension| dimension * value)
    }

    /// Bytes of all embeddings. Ids count up, and are stored as differences that take next to
    /// nothing.
    pub fn bytes(&self) -> Option<u64> {
        Some(self.passes()? * self.width()?)
    }
}

/// What a stage will store, if it is an `encode` on views of an `augment`.
///
/// - `find`: the current artifact of a stage
pub fn of_stage(
    engine: &Engine,
    stage: &StageNode,
    find: &dyn Fn(&str) -> Result<Option<Artifact>>,
) -> Result<Option<StorageEstimate>> {
    let project = engine.project();
    let Some(encode) = stage.of_kind::<Encode>() else {
        return Ok(None);
    };
    let Some(views) = connected(project, stage, "views")? else {
        return Ok(None);
    };
    let Some(augment) = views.of_kind::<Augment>() else {
        return Ok(None);
    };
    Ok(Some(StorageEstimate {
        images: viewed(project, views, &augment, find)?,
        views: augment.views_per_image.into(),
        dimension: dimension(engine, stage, &encode, augment.side(), find)?,
        precision: match encode.store {
            Storage::F16 => "f16",
            Storage::F32 => "f32",
        },
    }))
}

/// How many images an `augment` stage looks at.
fn viewed(
    project: &Project,
    views: &StageNode,
    augment: &Augment,
    find: &dyn Fn(&str) -> Result<Option<Artifact>>,
) -> Result<Images> {
    let rows =
        find(&views.name)?.and_then(|artifact| Some(artifact.manifest.outputs.get("views")?.rows));
    if let Some(rows) = rows {
        return Ok(Images::Known(rows / u64::from(augment.views_per_image)));
    }
    let images = connected(project, views, "images")?.context("BUG: views of no images")?;
    let Some(artifact) = find(&images.name)? else {
        return Ok(Images::UnknownUntil(images.name.clone()));
    };
    // What is damaged is `verify`'s to tell, and a split without images `augment`'s.
    let Ok(reader) = ImagesReader::open(&artifact.parts("images")) else {
        return Ok(Images::UnknownUntil(images.name.clone()));
    };
    let rows = rows_of_split(&reader, &augment.split).map_or(0, |rows| rows.len());
    Ok(Images::Known(rows as u64))
}

/// Length of the embeddings that an `encode` stage makes, where params or a cached network say it.
fn dimension(
    engine: &Engine,
    stage: &StageNode,
    encode: &Encode,
    side: Option<u32>,
    find: &dyn Fn(&str) -> Result<Option<Artifact>>,
) -> Result<Option<u64>> {
    let architecture = match connected(engine.project(), stage, "weights")? {
        Some(weights) => match find(&weights.name)? {
            Some(artifact) => stored_architecture(&artifact),
            None => trained_architecture(engine, weights),
        },
        None => encode.network.clone(),
    };
    let length = || {
        let graph = architecture?.graph().ok()?;
        let node = match encode.embedding {
            Embedding::Auto | Embedding::Head => graph.embedding().unwrap_or(graph.features()),
            Embedding::Features => graph.features(),
            Embedding::Logits => graph.logits()?,
        };
        let length = graph.length(node, [i64::from(side?); 2]).ok()?;
        u64::try_from(length).ok()
    };
    Ok(length())
}

fn stored_architecture(artifact: &Artifact) -> Option<Architecture> {
    let reader = WeightsReader::open(&artifact.parts("weights")).ok()?;
    serde_json::from_str(reader.metadata().get(ARCHITECTURE)?).ok()
}

/// What a training stage's params say of the network that it will write.
pub(super) fn trained_architecture(engine: &Engine, stage: &StageNode) -> Option<Architecture> {
    match engine.registry().known(&stage.kind).purpose(&stage.params) {
        Purpose::Training(training) => serde_json::from_value(training.network).ok(),
        _ => None,
    }
}

pub(super) fn connected<'a>(
    project: &'a Project,
    stage: &StageNode,
    slot: &str,
) -> Result<Option<&'a StageNode>> {
    let connection = stage.inputs.get(slot).and_then(|inputs| inputs.first());
    connection
        .map(|connection| project.stage(&connection.stage))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_recipe_on_imagenet_takes_66_gigabytes() {
        let official = StorageEstimate {
            images: Images::Known(1_281_167),
            views: 200,
            dimension: Some(128),
            precision: "f16",
        };
        assert_eq!(official.passes(), Some(256_233_400));
        assert_eq!(official.bytes(), Some(65_595_750_400));
        let plain = StorageEstimate {
            precision: "f32",
            images: Images::UnknownUntil("images".into()),
            ..official
        };
        assert_eq!((plain.width(), plain.bytes()), (Some(512), None));
    }
}
