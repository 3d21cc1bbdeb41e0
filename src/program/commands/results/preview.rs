//! `preview STAGE`: a contact sheet of what `ingest` took in, or of the views that `augment` drew,
//! as PNG.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use seedpipe_artifact::{IMAGES, VIEWS};
use seedpipe_base::Refusal;
use seedpipe_engine::{Aside, Engine, StageNode, durable};
use seedpipe_stages::contact_sheet;

use crate::commands::Invocation;
use crate::commands::arguments::Overrides;
use crate::commands::values::images_of_sheet;
use crate::project::cached::{TO_SHOW, cached};
use crate::{terminal::figures, terminal::output};

#[derive(Args, Debug)]
pub struct Preview {
    /// A stage that is cached and made images or views
    pub stage: String,
    /// How many images
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 16, value_parser = images_of_sheet)]
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
    let outputs = engine.registry().known(&stage.kind).outputs();
    let output = |kind: &str| outputs.iter().find(|output| output.kind == kind);
    let aside = Aside::begin("drawing", "", 0);
    let png = match (output(IMAGES), output(VIEWS)) {
        (Some(images), _) => {
            let artifact = cached(&engine, &stage.name, TO_SHOW)?;
            contact_sheet::of_images(&artifact.parts(images.name), count)
        }
        (_, Some(output)) => {
            let views = cached(&engine, &stage.name, TO_SHOW)?;
            let images = images_of(&engine, stage)?;
            contact_sheet::of_views(&images, &views.parts(output.name), count)
        }
        _ => {
            return Err(Refusal::new(format!(
                "stage `{}` is of kind `{}`, which has no pictures to show",
                stage.name, stage.kind
            ))
            .hint("name a stage that makes images or views, such as those of kind `ingest` and `augment`")
            .into());
        }
    };
    drop(aside);
    let png = png.with_context(|| format!("stage `{}`", stage.name))?;
    let path = arguments
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.png", stage.name)));
    if let Some(source) = source_around(&engine, &path) {
        return Err(Refusal::new(format!(
            "`{}` lies in the source `{}`, and would be one of its images",
            figures::path(&path),
            source.display()
        ))
        .hint("name a place outside by `-o`, such as `-o ../sheet.png`")
        .into());
    }
    durable::write(&path, &png)
        .with_context(|| format!("`{}` can't be written", path.display()))?;
    output::print(&format!(
        "wrote `{}`, {}",
        figures::path(&path),
        figures::bytes(png.len() as u64)
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The source folder of a stage that a file there would belong to.
fn source_around(engine: &Engine, file: &Path) -> Option<PathBuf> {
    let folder = match file.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let folder = fs_err::canonicalize(folder).ok()?;
    let project = engine.project();
    let sources = project.stages().iter().flat_map(|stage| &stage.sources);
    let mut sources = sources.filter(|source| {
        let source = fs_err::canonicalize(project.folder().join(source));
        source.is_ok_and(|source| source.is_dir() && folder.starts_with(source))
    });
    sources.next().cloned()
}

/// Parts of the images that views are of.
fn images_of(engine: &Engine, stage: &StageNode) -> Result<Vec<PathBuf>> {
    let mut inputs = stage.inputs.values().flatten();
    let from = inputs
        .find(|from| from.kind == IMAGES)
        .context("BUG: views of no images")?;
    Ok(cached(engine, &from.stage, TO_SHOW)?.parts(&from.output))
}
