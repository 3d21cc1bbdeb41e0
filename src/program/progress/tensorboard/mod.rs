//! Curves for TensorBoard: what a training measures of itself, in event files under
//! `<cache>/tensorboard/<stage>/<fingerprint>/`.
//!
//! They are telemetry, outside every digest; the folder may be deleted at any time, and `gc` clears
//! it with the artifacts. A training that goes on after an interruption takes out what was written
//! of steps that it does again, and writes on in a file of its own. Tags are `<split>/<name>` for
//! the rows of the stage's `metrics/v1`, and `step/<name>` for single steps, of which one a second
//! is written at most.

mod event;
mod file;
mod record;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Error, Result};
use seedpipe_engine::{Digest, Event, Measured, MeasuredOver};

use file::EventFile;

/// Beside the cache's store.
pub const FOLDER: &str = "tensorboard";

/// Between two steps that are written.
const PAUSE: Duration = Duration::from_secs(1);

/// The curves of a run's trainings.
pub struct TensorBoard {
    folder: PathBuf,
    /// Stages at work.
    stages: BTreeMap<String, Curves>,
}

struct Curves {
    folder: PathBuf,
    /// None for a stage that has no steps.
    file: Option<EventFile>,
    /// When a single step was written last.
    last: Option<Instant>,
}

impl TensorBoard {
    /// Touches nothing before a training measures something.
    pub fn in_folder(folder: &Path) -> Self {
        TensorBoard {
            folder: folder.to_owned(),
            stages: BTreeMap::new(),
        }
    }

    /// Fails with the stage whose curves end here, since they can't be written.
    ///
    /// - `rates`: images a second of a stage, and the share of waiting
    pub fn event<'a>(
        &mut self,
        event: &Event<'a>,
        rates: impl FnOnce(&str) -> (f64, Option<f64>),
    ) -> Result<(), (&'a str, Error)> {
        let (stage, written) = match *event {
            Event::StageStarted {
                stage, fingerprint, ..
            } => {
                self.start(stage, fingerprint);
                return Ok(());
            }
            Event::StageFinished(report) => {
                self.stages.remove(&report.stage);
                return Ok(());
            }
            Event::StepsStarted { stage, step } => (stage, self.steps_started(stage, step)),
            Event::Metrics { stage, measured } => {
                (stage, self.measured(stage, &measured, rates(stage)))
            }
            _ => return Ok(()),
        };
        written.map_err(|error| {
            self.stages.remove(stage);
            (stage, error)
        })
    }

    fn start(&mut self, stage: &str, fingerprint: Digest) {
        let folder = self.folder.join(as_file_name(stage));
        let curves = Curves {
            folder: folder.join(fingerprint.short()),
            file: None,
            last: None,
        };
        self.stages.insert(stage.to_owned(), curves);
    }

    fn steps_started(&mut self, stage: &str, step: u64) -> Result<()> {
        let Some(curves) = self.stages.get_mut(stage) else {
            return Ok(()); // outside a stage of a run
        };
        let folder = &curves.folder;
        let file = EventFile::after(folder, step)
            .with_context(|| format!("event files in `{}`", folder.display()))?;
        curves.file = Some(file);
        Ok(())
    }

    fn measured(
        &mut self,
        stage: &str,
        measured: &Measured,
        rates: (f64, Option<f64>),
    ) -> Result<()> {
        let Some(curves) = self.stages.get_mut(stage) else {
            return Ok(());
        };
        let Some(file) = &mut curves.file else {
            return Ok(());
        };
        let prefix = match measured.over {
            MeasuredOver::Step => {
                let is_early = curves.last.is_some_and(|last| last.elapsed() < PAUSE);
                if is_early {
                    return Ok(());
                }
                curves.last = Some(Instant::now());
                "step"
            }
            MeasuredOver::Epoch | MeasuredOver::Whole => measured.split,
        };
        let values = measured.values.iter();
        let mut scalars: Vec<(String, f64)> = values
            .map(|(name, value)| (format!("{prefix}/{name}"), *value))
            .collect();
        if measured.over == MeasuredOver::Step {
            let (rate, waiting) = rates;
            scalars.extend((rate > 0.0).then(|| ("step/images_per_second".to_owned(), rate)));
            scalars.extend(waiting.map(|share| ("step/waiting_share".to_owned(), share)));
        }
        file.write_scalars(measured.step, &scalars)
            .with_context(|| format!("`{}`", curves.folder.display()))
    }
}

/// Folders with curves of fingerprints that nobody needs, unless they were written less than
/// `grace` ago, with their bytes.
///
/// - `folder`: of all curves
/// - `is_needed`: by the first digits of a fingerprint
///
/// # Errors
/// When the folder can't be read; where there is none, there are no curves.
pub fn unneeded(
    folder: &Path,
    grace: Duration,
    is_needed: impl Fn(&str) -> bool,
) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for stage in entries(folder)? {
        for recipe in entries(&stage)? {
            let name = recipe.file_name().unwrap_or_default().to_string_lossy();
            if is_needed(&name) {
                continue;
            }
            let (mut bytes, mut is_young) = (0, false);
            for file in entries(&recipe)? {
                let metadata = fs_err::metadata(&file)?;
                bytes += metadata.len();
                // A time in the future is young.
                is_young |= metadata.modified()?.elapsed().is_ok_and(|age| age < grace)
                    || metadata.modified()? > SystemTime::now();
            }
            if !is_young {
                found.push((recipe, bytes));
            }
        }
    }
    Ok(found)
}

/// Removes a folder that [`unneeded`] found, and the stage's when it was the last.
///
/// # Errors
/// When it can't be removed.
pub fn remove(recipe: &Path) -> io::Result<()> {
    fs_err::remove_dir_all(recipe)?;
    match recipe.parent().map(std::fs::remove_dir) {
        Some(Err(error)) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
        _ => Ok(()),
    }
}

/// Paths in a folder, in order; none where it isn't one.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Bytes of a folder's name: file systems take 255.
const LONGEST_NAME: usize = 200;

/// A stage's name without what a folder's can't have, and not too long: the values of a matrix may
/// be paths. Stages that get one name have folders of their own in it, by their fingerprints.
fn as_file_name(stage: &str) -> String {
    let mut name = String::new();
    for letter in stage.chars() {
        if name.len() + letter.len_utf8() > LONGEST_NAME {
            break;
        }
        name.push(match letter {
            '/' | '\\' => '_',
            letter if letter.is_control() => '_',
            letter => letter,
        });
    }
    name
}
