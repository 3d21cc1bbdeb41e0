//! What a command tells of its progress, on stderr. On a terminal: a tree of the stages and a line for each at work, drawn live. Elsewhere,
//! such as in a log file: a line when a stage starts, every 30 s, and when it ends. With `--log-format json`: an event a line.
//!
//! Nothing here goes to stdout, and nothing here decides anything.

mod bar;
mod events;
mod look;
mod observing;
mod outcome;
mod picture;
mod screen;
mod shown;
mod telling;
mod tree;
mod work;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;
use seedpipe_engine::{StageReport, StageStatus};
use serde_json::Value;

pub use outcome::is_cancelled;
pub use picture::{Picture, RunState, State};
pub use screen::Screen;
pub use shown::drawn;
pub use work::Work;

use crate::progress::tensorboard::TensorBoard;
use crate::terminal::output::{self, LogFormat};
use events::Events;
use picture::Stage;
use shown::{Shared, Shown};
use telling::Telling;

/// How much is told.
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
    /// The thread that draws, once there is something to draw.
    ticker: Mutex<Option<JoinHandle<()>>>,
}

impl Console {
    /// For work on stages without a plan.
    ///
    /// - `stages`: names that are going to appear, for the columns
    pub fn new<'a>(verbosity: Verbosity, stages: impl IntoIterator<Item = &'a str>) -> Self {
        let width = stages.into_iter().map(str::len).max().unwrap_or(0);
        Self::over(verbosity, width, Picture::empty(), false)
    }

    /// For a run with this plan.
    pub fn of_run(verbosity: Verbosity, picture: Picture) -> Self {
        let names = picture.stages.iter().map(|stage| stage.stage.len());
        let width = names.max().unwrap_or(0);
        Self::over(verbosity, width, picture, true)
    }

    fn over(verbosity: Verbosity, name_width: usize, picture: Picture, has_plan: bool) -> Self {
        let is_told = verbosity > Verbosity::Quiet;
        let is_json = output::log_format() == LogFormat::Json;
        let shown = Shown {
            picture,
            has_plan,
            screen: (is_told && !is_json).then(Screen::on_stderr).flatten(),
            events: (is_told && is_json).then(Events::default),
            telling: None,
            tensorboard: None,
            told: Vec::new(),
            is_over: false,
        };
        Self {
            shared: Arc::new(Shared::new(verbosity, name_width, shown)),
            on_finished: None,
            ticker: Mutex::new(None),
        }
    }

    /// Also calls `told` for every stage that is done.
    pub fn on_finished(mut self, told: impl Fn(&StageReport) + Send + Sync + 'static) -> Self {
        self.on_finished = Some(Box::new(told));
        self
    }

    /// Also tells other processes, by a file beside this cache.
    pub fn tell_others(self, cache: &Path) -> Self {
        self.shown().telling = Some(Telling::new(cache));
        self
    }

    /// Also writes what trainings measure for TensorBoard.
    pub fn write_curves(self, tensorboard: TensorBoard) -> Self {
        self.shown().tensorboard = Some(tensorboard);
        self
    }

    /// Whether it tells of stages by lines of text, not by a drawn tree or by events.
    pub fn tells_lines(&self) -> bool {
        self.shown().tells_lines()
    }

    pub fn tells_events(&self) -> bool {
        self.shown().events.is_some()
    }

    /// The run begins.
    ///
    /// - `targets`: as the user named them; none: all stages
    pub fn begin(&self, targets: &[String], plan: &[StageStatus]) {
        let mut shown = self.shown();
        let Shown {
            events,
            picture,
            telling,
            ..
        } = &mut *shown;
        if let Some(events) = events {
            events.run_started(picture, targets, plan);
        }
        if let Some(telling) = telling {
            telling.begin(picture);
        }
        drop(shown);
        self.keep_drawing();
    }

    /// The run is over: the last picture is left on the screen, and other processes are told.
    pub fn end(&self, state: RunState) {
        self.close(state);
    }

    /// The last event of a run.
    pub fn run_finished(&self, state: RunState, told: Value) {
        if let Some(events) = &mut self.shown().events {
            events.run_finished(state, told);
        }
    }

    fn keep_drawing(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if ticker.is_none() {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("progress".into());
            // Without it progress is told only where stages start and end.
            *ticker = thread.spawn(move || shared.keep_drawing()).ok();
        }
    }

    fn close(&self, state: RunState) {
        self.shared.close(state);
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticker) = ticker.take() {
            let _ = ticker.join(); // a panic there has been printed by its thread
        }
    }

    /// A function that shows a line whatever the verbosity, for another thread.
    pub fn teller(&self) -> impl Fn(&str) + Send + 'static {
        let shared = self.shared.clone();
        move |line| shared.shown().tell(line)
    }

    /// A line above what is drawn, unless `--quiet`.
    pub fn line(&self, line: &str) {
        if self.shared.verbosity > Verbosity::Quiet {
            self.shown().tell(line);
        }
    }

    fn stage_line(&self, stage: &str, text: &str) {
        self.line(&self.shared.stage_line(stage, text));
    }

    fn is_verbose(&self) -> bool {
        self.shared.verbosity == Verbosity::Verbose
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shared.shown()
    }

    fn change(&self, stage: &str, change: impl FnOnce(&mut Stage, f64)) {
        let now = self.shared.now();
        change(self.shown().picture.stage(stage), now);
    }

    /// Changes what is known of a stage's work, which begins with it when it has not begun: a fetch, a push.
    fn work(&self, stage: &str, change: impl FnOnce(&mut Work, f64)) {
        self.change(stage, |stage, now| {
            if stage.state == State::Waiting {
                (stage.state, stage.began) = (State::Running, now);
            }
            change(stage.work.get_or_insert_default(), now);
        });
    }

    /// Writes curves, where they are written. What can't be written ends that stage's curves, not the run.
    fn curves(&self, stage: &str, write: impl FnOnce(&mut TensorBoard) -> Result<()>) {
        let mut shown = self.shown();
        let Some(Err(error)) = shown.tensorboard.as_mut().map(write) else {
            return;
        };
        if let Some(tensorboard) = &mut shown.tensorboard {
            tensorboard.give_up(stage);
        }
        let message = format!("its curves are no longer written for TensorBoard: {error:#}");
        shown.warn(Some(stage), &message);
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.close(RunState::Failed);
    }
}
