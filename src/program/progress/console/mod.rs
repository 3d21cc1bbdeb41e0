//! A command's progress, on stderr. On a terminal: a tree of the stages and a line for each at
//! work, drawn live. Elsewhere, such as in a log file: a line when a stage starts, every 30 s, and
//! when it ends. With `--log-format json`: an event a line.
//!
//! Nothing here goes to stdout, and nothing here decides anything.

mod bar;
mod display;
mod json_log;
mod outcome;
mod progress_writer;
mod run_progress;
mod screen;
mod style;
mod tree;
mod work;

use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use seedpipe_engine::{Event, Observer, StageReport, StageStatus, aside};
use serde_json::Value;

pub use display::tree_and_bars;
pub use outcome::is_cancelled;
pub use run_progress::{RunProgress, RunState, State};
pub use screen::Screen;
pub use work::Work;

use crate::progress::tensorboard::TensorBoard;
use crate::terminal::output::{self, LogFormat};
use display::{Display, Shared};
use json_log::JsonLog;
use progress_writer::ProgressWriter;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    Normal,
    Verbose,
}

/// Called for every stage that is done.
type FinishedHook = Box<dyn Fn(&StageReport) + Send + Sync>;

/// Shows what the engine does, until it is dropped.
pub struct Console {
    shared: Arc<Shared>,
    on_finished: Option<FinishedHook>,
}

impl Console {
    /// For work on stages without a plan.
    ///
    /// - `stages`: names that are going to appear, for the columns
    pub fn new<'a>(verbosity: Verbosity, stages: impl IntoIterator<Item = &'a str>) -> Self {
        let width = stages.into_iter().map(str::len).max().unwrap_or(0);
        Self::over(verbosity, width, RunProgress::empty(), false)
    }

    /// For a run with this plan.
    pub fn of_run(verbosity: Verbosity, progress: RunProgress) -> Self {
        let names = progress.stages.iter().map(|stage| stage.stage.len());
        let width = names.max().unwrap_or(0);
        Self::over(verbosity, width, progress, true)
    }

    fn over(
        verbosity: Verbosity,
        name_width: usize,
        progress: RunProgress,
        has_plan: bool,
    ) -> Self {
        let is_shown = verbosity > Verbosity::Quiet;
        let is_json = output::log_format() == LogFormat::Json;
        let display = Display {
            progress,
            verbosity,
            name_width,
            began: Instant::now(),
            has_plan,
            screen: (is_shown && !is_json).then(Screen::on_stderr).flatten(),
            json_log: (is_shown && is_json).then(JsonLog::default),
            progress_writer: None,
            tensorboard: None,
            last_lines: Vec::new(),
            is_over: false,
        };
        let has_screen = display.screen.is_some();
        let shared = Arc::new(Shared::new(display));
        // The newest shows what goes on beside stages.
        let listener = shared.clone();
        aside::tell_by(move |name, step| listener.event(&event_of(name, step)));
        if has_screen {
            let drawn = shared.clone();
            output::make_room_by(move || drawn.make_room());
        }
        Self {
            shared,
            on_finished: None,
        }
    }

    /// Also calls `hook` for every stage that is done.
    pub fn on_finished(mut self, hook: impl Fn(&StageReport) + Send + Sync + 'static) -> Self {
        self.on_finished = Some(Box::new(hook));
        self
    }

    /// Also writes the progress into a file beside this cache, for other processes.
    pub fn write_progress(self, cache: &Path) -> Self {
        self.display().progress_writer = Some(ProgressWriter::new(cache));
        self
    }

    /// Also writes what trainings measure for TensorBoard.
    pub fn write_curves(self, tensorboard: TensorBoard) -> Self {
        self.display().tensorboard = Some(tensorboard);
        self
    }

    /// Whether stages have lines of text, not a drawn tree or JSON.
    pub fn has_stage_lines(&self) -> bool {
        self.display().has_stage_lines()
    }

    pub fn writes_json(&self) -> bool {
        self.display().json_log.is_some()
    }

    /// The run begins.
    ///
    /// - `targets`: as the user named them; none: all stages
    pub fn begin(&self, targets: &[String], plan: &[StageStatus]) {
        let mut display = self.display();
        let Display {
            json_log,
            progress,
            progress_writer,
            ..
        } = &mut *display;
        if let Some(json_log) = json_log {
            json_log.run_started(progress, targets, plan);
        }
        if let Some(writer) = progress_writer {
            writer.begin(progress);
        }
        drop(display);
        self.shared.tick();
    }

    /// The last event of a run.
    pub fn run_finished(&self, state: RunState, fields: Value) {
        if let Some(json_log) = &mut self.display().json_log {
            json_log.run_finished(state, fields);
        }
    }

    /// The run is over: its last state is left on the screen and in the progress file.
    pub fn end(&self, state: RunState) {
        self.shared.close(state);
    }

    /// A function that prints a line whatever the verbosity, for another thread.
    pub fn printer(&self) -> impl Fn(&str) + Send + 'static {
        let shared = self.shared.clone();
        move |line| shared.display().print(line)
    }

    /// Whether a stage went on with what an earlier run had begun.
    pub fn was_resumed(&self, stage: &str) -> bool {
        let display = self.display();
        let mut stages = display.progress.stages.iter();
        stages.any(|known| known.stage == stage && known.was_resumed)
    }

    /// A line above what is drawn, unless `--quiet`.
    pub fn line(&self, line: &str) {
        let mut display = self.display();
        if display.verbosity > Verbosity::Quiet {
            display.print(line);
        }
    }

    fn display(&self) -> MutexGuard<'_, Display> {
        self.shared.display()
    }
}

impl Observer for Console {
    fn event(&self, event: &Event) {
        self.shared.event(event);
        if let (Event::StageFinished(report), Some(hook)) = (event, &self.on_finished) {
            hook(report);
        }
    }
}

/// Work beside stages, as one that has its name.
fn event_of<'a>(stage: &'a str, step: aside::Step<'a>) -> Event<'a> {
    match step {
        aside::Step::Begins { unit, total } => Event::WorkStarted {
            stage,
            label: stage,
            unit,
            total,
            done: 0,
        },
        aside::Step::Advances(count) => Event::WorkAdvanced { stage, count },
        aside::Step::Ends => Event::WorkFinished { stage },
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.end(RunState::Failed);
    }
}
