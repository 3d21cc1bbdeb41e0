//! `augment`: draws the views of each image as explicit numbers. No pixel is touched here.
//!
//! Version log: 1 first, 2 `swav` and `swav_small` have the colours of SwAV's own code.

use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;
use schemars::JsonSchema;
use seedpipe_artifact::{IMAGES, ImagesReader, Metadata, Scale, VIEWS, ViewRow, ViewsWriter};
use seedpipe_base::Refusal;
use seedpipe_engine::{
    Arity, Demanded, InputKinds, InputSlot, OutputSlot, Stage, StageContext, Work,
};
use seedpipe_imaging::{Adjust, Policy, RecipeName};
use serde::{Deserialize, Serialize};

use crate::pixels::viewed::SIZE;
use crate::shared::invalid::invalid;
use crate::shared::selection::{item, rows_of_split};

/// Images whose views are drawn and written together.
const CHUNK: usize = 8192;
/// Neighbouring images that a sampled rerun takes or leaves together: reading single rows back
/// would take longer than drawing them.
const SAMPLED_TOGETHER: usize = 16;

/// Views of images, sampled as torchvision does.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// `mocov2`, `mocov1`, `simclr`, `swav`, `swav_small`, `seed_small`, `moco_lincls`, `eval`, or
    /// `custom` (torchvision's bare RandomResizedCrop).
    pub recipe: RecipeName,
    /// Side of a view in pixels; default 224, of small views 96.
    #[serde(default)]
    pub size: Option<u32>,
    /// Numbers that differ from the recipe's.
    #[serde(default)]
    pub adjust: Adjust,
    /// Views of each image: one per epoch of training, or fewer, which training cycles through.
    #[serde(default = "one")]
    pub views_per_image: u32,
    /// The split whose images are viewed, or `all`.
    #[serde(default = "train")]
    pub split: String,
}

fn one() -> u32 {
    1
}

fn train() -> String {
    "train".into()
}

impl Augment {
    /// Side of a view in pixels.
    pub fn side(&self) -> Option<u32> {
        self.policy().ok().map(|policy| policy.size)
    }

    fn policy(&self) -> Result<Policy, Refusal> {
        Policy::new(self.recipe, self.size, &self.adjust)
            .map_err(|refusal| refusal.hint("see the recipes' table in docs/method.md"))
    }
}

impl Stage for Augment {
    const KIND: &'static str = "augment";
    const VERSION: u32 = 2;
    const INPUTS: &'static [InputSlot] = &[InputSlot::new("images", &[IMAGES], Arity::One)];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("views", VIEWS)];

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Refusal> {
        if !(1..=u32::from(u16::MAX)).contains(&self.views_per_image) {
            return Err(invalid(
                "views_per_image",
                "1 to 65535",
                self.views_per_image,
                "one view for each epoch of training, or fewer, which training cycles through",
            ));
        }
        self.policy().map(drop)
    }
}

impl Work for Augment {
    fn run(&self, context: &StageContext) -> Result<()> {
        let policy = self.policy()?;
        let images = ImagesReader::open(&context.input("images").parts)?;
        let rows = rows_of_split(&images, &self.split)?;
        let scale =
            Scale::from_name(policy.scale()).context("BUG: a recipe with an unknown scale")?;
        let metadata = Metadata::from([
            (SIZE.to_owned(), policy.size.to_string()),
            ("recipe".to_owned(), serde_json::to_string(&policy)?),
        ]);
        let views = self.views_per_image as usize;
        let positions = sampled_positions(context, views, rows.len());
        let progress = context.progress();
        let total = (views * positions.len()) as u64;
        progress.begin(context.stage(), "views", total, 0);
        context.shards(views, |shard| {
            let view = shard.index() as u16;
            let path = shard.output("views", &format!("v{view:05}-s00000"));
            write_view(&path, &metadata, &images, &rows, &positions, view, |row| {
                let image = images.image(row);
                let mut key = item(image.digest, image.occurrence).to_vec();
                key.extend(view.to_le_bytes());
                let drawn =
                    policy.sample(&mut context.rng("view", &key), image.width, image.height);
                (drawn, scale)
            })?;
            progress.advance(positions.len() as u64);
            context.check_cancelled()
        })?;
        progress.finish();
        Ok(())
    }

    fn rows(&self, context: &StageContext) -> Result<Demanded> {
        let images = ImagesReader::open(&context.input("images").parts)?;
        let viewed = rows_of_split(&images, &self.split)?.len() as u64;
        Ok(vec![("views", viewed * u64::from(self.views_per_image))])
    }
}

/// Positions of the images whose views are drawn: all, or in a sampled rerun those of some groups.
fn sampled_positions(context: &StageContext, views: usize, images: usize) -> Vec<usize> {
    let Some(sample) = context.sample() else {
        return (0..images).collect();
    };
    let groups = sample.pick(images.div_ceil(SAMPLED_TOGETHER));
    let range = |group: usize| group * SAMPLED_TOGETHER..images.min((group + 1) * SAMPLED_TOGETHER);
    let of_view = |view: usize| {
        let first = view * images;
        groups.iter().map(move |&group| {
            let range = range(group);
            (first + range.start) as u64..(first + range.end) as u64
        })
    };
    context.sampled("views", (0..views).flat_map(of_view).collect());
    groups.iter().flat_map(|&group| range(group)).collect()
}

/// - `rows`: of the images that are viewed
/// - `positions`: within `rows`, of those that are drawn
fn write_view(
    path: &Path,
    metadata: &Metadata,
    images: &ImagesReader,
    rows: &[usize],
    positions: &[usize],
    number: u16,
    draw: impl Fn(usize) -> (seedpipe_imaging::View, Scale) + Sync,
) -> Result<()> {
    let mut writer = ViewsWriter::create(path, metadata)?;
    for chunk in positions.chunks(CHUNK) {
        let drawn: Vec<_> = chunk
            .par_iter()
            .map(|&position| {
                let row = rows[position];
                let (view, scale) = draw(row);
                ViewRow {
                    view_id: u64::from(number) * rows.len() as u64 + position as u64,
                    image_id: images.image(row).image_id,
                    number,
                    scale,
                    view,
                }
            })
            .collect();
        writer.write(&drawn)?;
    }
    writer.finish()?;
    Ok(())
}
