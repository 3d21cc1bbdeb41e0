//! What is displayed at the moment, and where: shared by the engine's threads, the thread that
//! draws, and the signal handler.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use seedpipe_engine::Event;

use super::json_log::JsonLog;
use super::progress_writer::ProgressWriter;
use super::run_progress::{RunProgress, RunState, StageProgress, State};
use super::screen::Screen;
use super::style::Style;
use super::work::Work;
use super::{Verbosity, bar, outcome, tree};
use crate::progress::tensorboard::TensorBoard;
use crate::{terminal::figures, terminal::output};

/// Between two lines of a stage where there is no terminal, in seconds.
const LINE_INTERVAL: f64 = 30.0;
/// Until the first line of what told nothing when it began.
const FIRST_LINE: f64 = 2.0;
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

pub struct Shared {
    display: Mutex<Display>,
    wake: Condvar,
    /// The thread that draws, once there is something to draw.
    ticker: Mutex<Option<JoinHandle<()>>>,
}

pub struct Display {
    pub progress: RunProgress,
    pub verbosity: Verbosity,
    /// Of the longest stage name.
    pub name_width: usize,
    pub began: Instant,
    /// Whether the progress holds the whole plan.
    pub has_plan: bool,
    /// None where stderr is no terminal, or is not drawn on.
    pub screen: Option<Screen>,
    pub json_log: Option<JsonLog>,
    pub progress_writer: Option<ProgressWriter>,
    pub tensorboard: Option<TensorBoard>,
    /// Stages at work, and when their last line was printed.
    pub last_lines: Vec<(String, f64)>,
    pub is_over: bool,
}

impl Shared {
    pub fn new(display: Display) -> Self {
        Shared {
            display: Mutex::new(display),
            wake: Condvar::new(),
            ticker: Mutex::new(None),
        }
    }

    /// Shows an event, and draws from now on where something goes on.
    pub fn event(self: &Arc<Self>, event: &Event) {
        self.display().event(event);
        if let Event::StageStarted { .. } | Event::StageWaiting { .. } | Event::WorkStarted { .. } =
            event
        {
            self.tick();
        }
    }

    /// Starts to draw.
    pub fn tick(self: &Arc<Self>) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if ticker.is_none() {
            let shared = self.clone();
            let thread = std::thread::Builder::new().name("progress".into());
            // Without it progress is shown only where stages start and end.
            *ticker = thread.spawn(move || shared.keep_drawing()).ok();
        }
    }

    /// Takes what is drawn away, so that something else can be printed; it is drawn again soon.
    pub fn make_room(&self) {
        // Whoever holds the display is drawing or printing itself.
        if let Ok(mut display) = self.display.try_lock()
            && let Some(screen) = &mut display.screen
        {
            screen.clear();
        }
    }

    pub fn display(&self) -> MutexGuard<'_, Display> {
        self.display.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws until it is over. What is over at once is never drawn.
    fn keep_drawing(&self) {
        let mut display = self.display();
        while !display.is_over {
            let waited = self.wake.wait_timeout(display, REDRAW_INTERVAL);
            display = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !display.is_over {
                display.refresh();
            }
        }
    }

    /// Leaves the last state on the screen and in the progress file, and shows nothing more.
    pub fn close(&self, state: RunState) {
        self.display().close(state);
        self.wake.notify_all();
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticker) = ticker.take() {
            let _ = ticker.join(); // a panic there has been printed by its thread
        }
    }
}

impl Display {
    /// Seconds since it began.
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Whether stages have lines of text, not a drawn tree or JSON.
    pub fn has_stage_lines(&self) -> bool {
        self.json_log.is_none() && (self.screen.is_none() || !self.has_plan)
    }

    /// Whether all that is seen of a stage is its lines.
    fn has_only_lines(&self) -> bool {
        self.json_log.is_none() && self.screen.is_none()
    }

    pub fn event(&mut self, event: &Event) {
        let now = self.now();
        self.progress.event(event, now, self.is_verbose());
        if matches!(event, Event::WorkFinished { .. }) && !self.has_plan && !self.is_over {
            self.draw(); // what comes next may be a result, which nothing drawn is to stand before
        }
        let stages = &mut self.progress;
        let curves = self
            .tensorboard
            .as_mut()
            .map(|tensorboard| tensorboard.event(event, |stage| stages.stage(stage).rates()));
        if let Some(json_log) = &mut self.json_log {
            json_log.event(event);
        } else if let Event::Warning { stage, message } = *event {
            let stage = stage.map(|stage| format!("stage `{stage}`: "));
            self.print(&format!("warning: {}{message}", stage.unwrap_or_default()));
        } else if self.verbosity > Verbosity::Quiet
            && let Some(line) = self.line(event)
        {
            self.print(&line);
        }
        if let (Event::StageStarted { .. }, Some(writer)) = (event, &self.progress_writer) {
            writer.write(&self.progress);
        }
        // What can't be written ends that stage's curves, not the run.
        if let Some(Err((stage, error))) = curves {
            let message = format!("its curves are no longer written for TensorBoard: {error:#}");
            self.event(&Event::Warning {
                stage: Some(stage),
                message: &message,
            });
        }
    }

    /// The line of an event that stays.
    fn line(&self, event: &Event) -> Option<String> {
        let (stage, text) = match *event {
            Event::StageStarted {
                stage, kind, why, ..
            } if self.has_only_lines() => {
                let why = match self.is_verbose() && !why.is_empty() {
                    true => format!(": {why}"),
                    false => String::new(),
                };
                (stage, format!("starts  ({kind}){why}"))
            }
            Event::StageResumed {
                stage,
                finished_shards,
                shards,
            } => (
                stage,
                format!("goes on: {finished_shards} of {shards} shards were finished before"),
            ),
            Event::StageWaiting { stage, holder } => (
                stage,
                format!("waits for {holder}, which makes the same artifact"),
            ),
            Event::StageFinished(report) if self.has_stage_lines() => (
                report.stage.as_str(),
                outcome::line(report, self.is_verbose()),
            ),
            _ => return None,
        };
        Some(self.stage_line(stage, &text))
    }

    fn stage_line(&self, stage: &str, text: &str) -> String {
        format!("{stage:<width$}  {text}", width = self.name_width)
    }

    /// A line that stays.
    pub fn print(&mut self, line: &str) {
        match &mut self.screen {
            Some(screen) if !self.is_over => {
                let line = screen.style(false).colours.message(line);
                screen.print(&line);
            }
            _ => output::error(line),
        }
    }

    /// Brings everything that moves up to date.
    fn refresh(&mut self) {
        let now = self.now();
        self.progress.refresh(now);
        self.draw();
        if let Some(json_log) = &mut self.json_log {
            json_log.progress(&self.progress, now);
        }
        if let Some(writer) = &mut self.progress_writer {
            writer.write_if_due(&self.progress, now);
        }
        if self.has_only_lines() && self.verbosity > Verbosity::Quiet {
            for (stage, text) in self.lines_due(now) {
                output::error(&self.stage_line(&stage, &text));
            }
        }
    }

    fn draw(&mut self) {
        let is_verbose = self.is_verbose();
        if let Some(screen) = &mut self.screen {
            let lines = tree_and_bars(&self.progress, self.has_plan, &screen.style(is_verbose));
            screen.draw(lines);
        }
    }

    fn close(&mut self, state: RunState) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        self.progress.refresh(self.now());
        // A run that was refused has nothing to show.
        let mut stages = self.progress.stages.iter();
        let has_begun = stages.any(|stage| stage.state != State::Waiting);
        self.progress.end(state);
        let is_verbose = self.is_verbose();
        if let Some(screen) = &mut self.screen {
            screen.clear();
            if self.has_plan && has_begun {
                screen.leave(&self.progress, is_verbose);
            }
        }
        if let Some(writer) = self.progress_writer.take() {
            writer.write(&self.progress);
        }
    }

    /// (stage, text) of stages at work that have been silent for long.
    fn lines_due(&mut self, now: f64) -> Vec<(String, String)> {
        let at_work: Vec<&StageProgress> = self.progress.running().collect();
        self.last_lines
            .retain(|(name, _)| at_work.iter().any(|stage| stage.stage == *name));
        let mut due = Vec::new();
        for stage in at_work {
            let place = self
                .last_lines
                .iter()
                .position(|(name, _)| *name == stage.stage);
            let place = place.unwrap_or_else(|| {
                // A stage of a plan has told that it starts.
                let early = if self.has_plan {
                    0.0
                } else {
                    LINE_INTERVAL - FIRST_LINE
                };
                let began = stage.began - early;
                self.last_lines.push((stage.stage.clone(), began));
                self.last_lines.len() - 1
            });
            let last = &mut self.last_lines[place].1;
            if now - *last >= LINE_INTERVAL {
                *last = now;
                let mut text = stage.work.as_ref().map(Work::text).unwrap_or_default();
                if text.is_empty() {
                    text = format!("at work for {}", figures::clock(now - stage.began));
                }
                if let Some(left) = self.progress.left() {
                    text = format!("{text}; {left}");
                }
                due.push((stage.stage.clone(), text));
            }
        }
        due
    }
}

/// The tree, and below it a line for each stage at work, as many as there is room for.
///
/// - `has_plan`: whether there is a tree
pub fn tree_and_bars(progress: &RunProgress, has_plan: bool, style: &Style) -> Vec<String> {
    let at_work: Vec<&StageProgress> = progress.running().take(style.height).collect();
    let names = at_work.iter().map(|stage| stage.stage.chars().count());
    let names = names.max().unwrap_or(0);
    let mut bars: Vec<String> = at_work
        .iter()
        .map(|stage| bar::line(stage, names, style))
        .collect();
    if let Some(left) = progress.left()
        && bars.len() < style.height
    {
        bars.push(style.cut(&style.colours.faint(&left)));
    }
    let style = Style {
        height: style.height - bars.len(),
        ..*style
    };
    // A tree of one or two lines is of no use.
    let mut lines = match has_plan && style.height > 2 {
        true => tree::lines(progress, &style),
        false => Vec::new(),
    };
    lines.extend(bars);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display_with(stage: &str, began: f64) -> Display {
        let mut progress = RunProgress::empty();
        progress
            .stage(stage)
            .start("distill", String::new(), "", began);
        Display {
            progress,
            verbosity: Verbosity::Normal,
            name_width: 0,
            began: Instant::now(),
            has_plan: true,
            screen: None,
            json_log: None,
            progress_writer: None,
            tensorboard: None,
            last_lines: Vec::new(),
            is_over: false,
        }
    }

    #[test]
    fn a_stage_has_a_line_each_half_minute_while_it_runs() {
        let mut display = display_with("student", 5.0);
        let mut line = |now: f64| display.lines_due(now).pop().map(|(_, text)| text);
        assert_eq!(line(34.9), None);
        assert_eq!(line(35.1).unwrap(), "at work for 30 s");
        assert_eq!(line(60.0), None);
        assert_eq!(line(65.2).unwrap(), "at work for 1 min 00 s");
        display.progress.stage("student").state = State::Done;
        assert_eq!(display.lines_due(200.0), []);
    }

    #[test]
    fn work_that_told_nothing_when_it_began_has_a_line_after_two_seconds() {
        let mut display = display_with("student", 5.0);
        display.has_plan = false;
        let mut is_due = |now: f64| !display.lines_due(now).is_empty();
        let due = [6.9, 7.1, 36.9, 37.2].map(&mut is_due);
        assert_eq!(due, [false, true, false, true]);
    }

    #[test]
    fn work_beside_a_runs_stages_is_shown_and_then_gone() {
        let mut display = display_with("student", 0.0);
        display.progress.pipeline = "pipeline.yaml".to_owned();
        let begun = Event::WorkStarted {
            stage: "hashing sources",
            label: "hashing sources",
            unit: "bytes",
            total: 10,
            done: 0,
        };
        display.event(&begun);
        assert_eq!(display.progress.running().count(), 2);
        let stage = "hashing sources";
        display.event(&Event::WorkFinished { stage });
        assert_eq!(display.progress.stages.len(), 1);
    }
}
