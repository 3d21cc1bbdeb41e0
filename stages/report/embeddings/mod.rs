//! Stored embeddings of plain images: whose they are, and those of some images, made of length 1.
//! On them rest the [`map`] of two dimensions, by principal components ([`pca`]) and [`tsne`], and
//! the [`near`]est neighbours.

pub mod map;
pub mod near;
mod pca;
mod tsne;

use std::path::PathBuf;

use anyhow::{Context, Result};
use seedpipe_artifact::{EMBEDDINGS, EmbeddingsReader, Of};

use crate::report::material::Catalogue;
use crate::report::networks::{self, Role};
use crate::shared::logits::holds_logits;

/// Rows that are read at once.
const ROWS: usize = 4096;

/// A network's embeddings of images.
pub struct Embedded {
    /// The network's name in the results.
    pub network: String,
    pub role: Role,
    /// The stage whose images were embedded.
    pub images: String,
    reader: EmbeddingsReader,
}

impl Embedded {
    pub fn dimension(&self) -> usize {
        self.reader.dimension()
    }

    /// Calls `each` with the number and the embedding of every image, in order.
    pub fn each(&self, mut each: impl FnMut(u32, &[f32])) -> Result<()> {
        for start in (0..self.reader.rows()).step_by(ROWS) {
            let rows = start..(start + ROWS).min(self.reader.rows());
            let read = self.reader.read(rows)?;
            for (id, embedding) in read
                .ids
                .iter()
                .zip(read.values.chunks_exact(self.dimension()))
            {
                if let Ok(id) = u32::try_from(*id) {
                    each(id, embedding);
                }
            }
        }
        Ok(())
    }

    /// Of some images, of length 1: `[ids, D]`; `None` when one of them has none.
    ///
    /// - `ids`: ascending
    pub fn of(&self, ids: &[u32]) -> Result<Option<Vec<f32>>> {
        let mut values = vec![0.0; ids.len() * self.dimension()];
        let mut found = 0;
        self.each(|id, embedding| {
            if let Ok(place) = ids.binary_search(&id) {
                let row = &mut values[place * embedding.len()..][..embedding.len()];
                row.copy_from_slice(&unit(embedding));
                found += 1;
            }
        })?;
        Ok((found == ids.len()).then_some(values))
    }
}

/// Made of length 1; zeros stay.
pub fn unit(embedding: &[f32]) -> Vec<f32> {
    let length = embedding
        .iter()
        .map(|value| f64::from(*value) * f64::from(*value))
        .sum::<f64>()
        .sqrt();
    let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
    embedding
        .iter()
        .map(|value| (f64::from(*value) * factor) as f32)
        .collect()
}

/// The students' and teachers' embeddings of images that the page may read, then the others', each
/// network once.
pub fn embedded(material: &Catalogue) -> Result<Vec<Embedded>> {
    let mut found: Vec<(usize, Embedded)> = Vec::new();
    for (source, parts) in material.readable(EMBEDDINGS) {
        let Some((images, _)) = material.files(source, "images") else {
            continue;
        };
        let Some(reader) = of_images(&source.stage, parts)? else {
            continue;
        };
        let maker = material.input(source, "weights").unwrap_or(source);
        if found.iter().any(|(_, known)| known.network == maker.stage) {
            continue;
        }
        let role = networks::role(material, maker);
        let rank = match role {
            Role::Student => 0,
            Role::Teacher => 1,
            Role::Baseline => 2,
        };
        found.push((
            rank,
            Embedded {
                network: maker.stage.clone(),
                role,
                images: images.stage.clone(),
                reader,
            },
        ));
    }
    found.sort_by_key(|(rank, _)| *rank);
    Ok(found.into_iter().map(|(_, embedded)| embedded).collect())
}

/// `None` when they are of views, or a classifier's logits.
fn of_images(stage: &str, parts: &[PathBuf]) -> Result<Option<EmbeddingsReader>> {
    let reader = EmbeddingsReader::open(parts).with_context(|| format!("stage `{stage}`"))?;
    let is_wanted = reader.header().of == Of::Images && !holds_logits(reader.header());
    Ok(is_wanted.then_some(reader))
}

/// The first student and the first teacher, else the first two networks; all of the same images.
pub fn pair(all: &[Embedded]) -> Vec<&Embedded> {
    let first = |role: Role| all.iter().find(|embedded| embedded.role == role);
    let mut pair: Vec<&Embedded> = match (first(Role::Student), first(Role::Teacher)) {
        (Some(student), Some(teacher)) => vec![student, teacher],
        (Some(one), None) | (None, Some(one)) => {
            let others = all.iter().filter(|other| other.network != one.network);
            [one].into_iter().chain(others).take(2).collect()
        }
        (None, None) => all.iter().take(2).collect(),
    };
    if let Some(first) = pair.first().map(|first| first.images.clone()) {
        pair.retain(|embedded| embedded.images == first);
    }
    pair
}
