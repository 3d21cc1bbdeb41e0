//! `preview STAGE`: a contact sheet of what `ingest` took in, or of the views that `augment` drew, as PNG.

use seedpipe_base::Refusal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use seedpipe_engine::{Artifact, Engine, StageNode, durable};
use seedpipe_stages::contact_sheet;

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::{terminal::figures, terminal::output};

#[derive(Args, Debug)]
pub struct Preview {
    /// A stage of kind `augment` or `ingest` that is cached
    pub stage: String,
    /// How many images
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub images: u32,
    /// The file [default: the stage's name with `.png`, here]
    #[arg(short, long, value_name = "FILE.png")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: Overrides,
}

pub fn execute(invocation: Invocation, arguments: &Preview) -> Result<ExitCode> {
    let engine = invocation.engine(&arguments.overrides.set)?;
    let stage = engine.project().stage(&arguments.stage)?;
    let count = arguments.images as usize;
    let png = match stage.kind.as_str() {
        "ingest" => {
            let artifact = cached(&engine, &stage.name)?;
            contact_sheet::of_images(&artifact.parts("images"), count)
        }
        "augment" => {
            let views = cached(&engine, &stage.name)?;
            let images = images_of(&engine, stage)?;
            contact_sheet::of_views(&images, &views.parts("views"), count)
        }
        other => {
            return Err(Refusal::new(format!(
                "stage `{}` is of kind `{other}`, which has no pictures to show",
                stage.name
            ))
            .hint("name a stage of kind `augment` or `ingest`")
            .into());
        }
    };
    let png = png.with_context(|| format!("stage `{}`", stage.name))?;
    let path = arguments
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.png", stage.name)));
    durable::write(&path, &png)
        .with_context(|| format!("`{}` can't be written", path.display()))?;
    output::print(&format!(
        "wrote `{}`, {}",
        figures::path(&path),
        figures::bytes(png.len() as u64)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Parts of the images that an `augment` stage looks at.
fn images_of(engine: &Engine, stage: &StageNode) -> Result<Vec<PathBuf>> {
    let from = stage
        .inputs
        .get("images")
        .and_then(|connections| connections.first())
        .context("BUG: views of no images")?;
    Ok(cached(engine, &from.stage)?.parts(&from.output))
}

fn cached(engine: &Engine, stage: &str) -> Result<Artifact> {
    let Some(artifact) = engine.find(stage)? else {
        bail!(
            "stage `{stage}` is not cached, so there is nothing to show\nhint: run `seedpipe run {stage}`"
        );
    };
    Ok(artifact)
}
