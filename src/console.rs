//! Progress on stderr. On a terminal: one line a running stage, with a bar, the rate and the time left. Elsewhere, such as
//! in a log file: a line when a stage starts, every 30 s, and when it ends.
//!
//! Nothing here goes to stdout, and nothing here decides anything.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use seedpipe_engine::{Cancelled, Holder, Observer, Outcome, StageReport};

use crate::{figures, output};

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    Normal,
    Verbose,
}

/// Between two lines of a stage where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Called for every stage that is done.
type FinishedHook = Box<dyn Fn(&StageReport) + Send + Sync>;

/// Shows what the engine does.
pub struct Console {
    verbosity: Verbosity,
    /// `None` where stderr is no terminal.
    bars: Option<MultiProgress>,
    /// Of the longest stage name.
    name_width: usize,
    running: Mutex<BTreeMap<String, Running>>,
    on_finished: Option<FinishedHook>,
}

/// A stage at work.
struct Running {
    kind: String,
    label: String,
    unit: String,
    /// 0: unknown.
    total: u64,
    /// Units that were done when the work began.
    resumed: u64,
    /// Units, with the resumed ones.
    done: u64,
    note: String,
    began: Instant,
    /// When the last line was printed.
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Console {
    /// - `stages`: names that are going to appear, for the columns
    pub fn new<'a>(verbosity: Verbosity, stages: impl IntoIterator<Item = &'a str>) -> Self {
        let terminal = io::stderr().is_terminal() && verbosity > Verbosity::Quiet;
        Self {
            verbosity,
            bars: terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
            name_width: stages.into_iter().map(str::len).max().unwrap_or(0),
            running: Mutex::new(BTreeMap::new()),
            on_finished: None,
        }
    }

    /// Also calls `told` for every stage that is done.
    pub fn on_finished(mut self, told: impl Fn(&StageReport) + Send + Sync + 'static) -> Self {
        self.on_finished = Some(Box::new(told));
        self
    }

    /// A function that shows a line whatever the verbosity, for another thread.
    pub fn teller(&self) -> impl Fn(&str) + Send + 'static {
        let bars = self.bars.clone();
        move |line| tell(bars.as_ref(), line)
    }

    /// A line above the bars, unless `--quiet`.
    pub fn line(&self, line: &str) {
        if self.verbosity > Verbosity::Quiet {
            tell(self.bars.as_ref(), line);
        }
    }

    fn stage_line(&self, stage: &str, text: &str) {
        self.line(&format!("{stage:<width$}  {text}", width = self.name_width));
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a stage's progress and shows it.
    fn update(&self, stage: &str, change: impl FnOnce(&mut Running)) {
        let mut stages = self.running();
        let running = stages.entry(stage.to_owned()).or_insert_with(Running::new);
        change(running);
        if self.bars.is_none() && running.told.elapsed() >= LINE_INTERVAL {
            running.told = Instant::now();
            let text = running.text();
            drop(stages);
            self.stage_line(stage, &text);
        }
    }

    /// The line in the end of a stage: `done  12,000 rows, 3.2 s  test/knn_top1 0.9120`.
    fn outcome(&self, report: &StageReport) -> String {
        let verbose = self.verbosity == Verbosity::Verbose;
        let mut details = Vec::new();
        if report.outcome == Outcome::Executed || verbose {
            let rows = report.rows.iter().filter(|(_, rows)| **rows > 0);
            details
                .extend(rows.map(|(output, rows)| format!("{} {output}", figures::count(*rows))));
        }
        if report.outcome != Outcome::Cached {
            details.push(figures::duration(report.seconds));
        }
        details.extend(of_the_work(&report.telemetry));
        if report.outcome == Outcome::Executed || verbose {
            details.extend(
                report
                    .headline
                    .iter()
                    .filter(|(name, _)| verbose || !figures::is_interval_end(name))
                    .map(|(name, value)| format!("{name} {}", figures::value(*value))),
            );
        }
        if let Some(fingerprint) = report.fingerprint.filter(|_| verbose) {
            details.push(format!("fingerprint {}", fingerprint.short()));
        }
        if let Some(content) = report.content.filter(|_| verbose) {
            details.push(format!("content {}", content.short()));
        }
        let outcome = match report.outcome {
            Outcome::Cached => "cached",
            Outcome::Fetched => "fetched",
            Outcome::Executed => "done",
            Outcome::Failed if is_cancelled(report) => "stopped",
            Outcome::Failed => "failed",
        };
        if details.is_empty() {
            outcome.to_owned()
        } else {
            format!("{outcome:<7}  {}", details.join(", "))
        }
    }
}

impl Running {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            kind: String::new(),
            label: String::new(),
            unit: String::new(),
            total: 0,
            resumed: 0,
            done: 0,
            note: String::new(),
            began: now,
            told: now,
            bar: None,
        }
    }

    /// Units a second since the work began.
    fn rate(&self) -> f64 {
        (self.done - self.resumed) as f64 / self.began.elapsed().as_secs_f64().max(1e-3)
    }

    /// `hashing: 1,024 of 12,000 images, 211/s, 52.0 s left, loss 1.2`.
    fn text(&self) -> String {
        let mut text = String::new();
        if !self.label.is_empty() {
            text.push_str(&format!("{}: ", self.label));
        }
        // Bytes are told in kB, MB …, with the rate in the same.
        let is_bytes = self.unit == "bytes";
        let amount = if is_bytes {
            figures::bytes
        } else {
            figures::count
        };
        text.push_str(&amount(self.done));
        if self.total > 0 {
            text.push_str(&format!(" of {}", amount(self.total)));
        }
        if !is_bytes {
            text.push_str(&format!(" {}", self.unit));
        }
        let rate = self.rate();
        if rate > 0.0 && is_bytes {
            text.push_str(&format!(", {}/s", figures::bytes(rate as u64)));
        } else if rate > 0.0 {
            text.push_str(&format!(", {}/s", figures::rate(rate)));
        }
        if rate > 0.0 && self.total > self.done {
            let seconds = (self.total - self.done) as f64 / rate;
            text.push_str(&format!(", {} left", figures::duration(seconds)));
        }
        if !self.note.is_empty() {
            text.push_str(&format!(", {}", self.note));
        }
        text
    }

    /// Brings the bar up to date.
    fn draw(&self) {
        if let Some(bar) = &self.bar {
            bar.update(|state| {
                state.set_len(self.total);
                state.set_pos(self.done);
            });
            bar.set_message(self.text());
        }
    }
}

/// How a stage spent its time, and what it took from earlier results: `7,800 rows reused`, `waiting 3 %, computing 95 %`.
fn of_the_work(telemetry: &BTreeMap<String, f64>) -> Vec<String> {
    let mut details = Vec::new();
    if let Some(&reused) = telemetry.get("reused_rows").filter(|reused| **reused > 0.0) {
        details.push(format!("{} rows reused", figures::count(reused as u64)));
    }
    for (key, word) in [
        ("waiting_share", "waiting"),
        ("computing_share", "computing"),
    ] {
        let share = telemetry.get(key);
        details.extend(share.map(|share| format!("{word} {:.0} %", share * 100.0)));
    }
    details
}

/// Whether the stage stopped because the user wanted it to.
pub fn is_cancelled(report: &StageReport) -> bool {
    report
        .error
        .as_ref()
        .is_some_and(|error| error.is::<Cancelled>())
}

impl Observer for Console {
    fn stage_started(&self, stage: &str, kind: &str) {
        let mut running = Running::new();
        running.kind = kind.to_owned();
        if let Some(bars) = &self.bars {
            running.bar = Some(new_bar(bars, stage, self.name_width, kind));
        }
        self.running().insert(stage.to_owned(), running);
        if self.bars.is_none() {
            self.stage_line(stage, &format!("starts  ({kind})"));
        }
    }

    fn stage_finished(&self, report: &StageReport) {
        if let (Some(Running { bar: Some(bar), .. }), Some(bars)) =
            (self.running().remove(&report.stage), &self.bars)
        {
            bar.finish_and_clear();
            bars.remove(&bar);
        }
        self.stage_line(&report.stage, &self.outcome(report));
        if let Some(difference) = &report.differs {
            self.warning(Some(&report.stage), &difference.to_string());
        }
        if let Some(told) = &self.on_finished {
            told(report);
        }
    }

    fn waiting(&self, stage: &str, holder: &Holder) {
        self.stage_line(
            stage,
            &format!("waits for {holder}, which makes the same artifact"),
        );
    }

    fn resumed(&self, stage: &str, finished_shards: usize, total: usize) {
        self.stage_line(
            stage,
            &format!("goes on: {finished_shards} of {total} shards were finished before"),
        );
    }

    fn progress_begin(&self, stage: &str, label: &str, unit: &str, total: u64, done: u64) {
        self.update(stage, |running| {
            running.label = if label == stage {
                String::new()
            } else {
                label.to_owned()
            };
            running.unit = unit.to_owned();
            (running.total, running.resumed, running.done) = (total, done, done);
            running.note.clear();
            running.began = Instant::now();
            if let Some(bars) = &self.bars {
                let bar = running
                    .bar
                    .get_or_insert_with(|| new_bar(bars, stage, self.name_width, &running.kind));
                bar.set_style(if total > 0 { counting() } else { spinning() });
            }
            running.draw();
        });
    }

    fn progress_advance(&self, stage: &str, count: u64) {
        self.update(stage, |running| {
            running.done += count;
            running.draw();
        });
    }

    fn progress_note(&self, stage: &str, text: &str) {
        self.update(stage, |running| {
            running.note = text.to_owned();
            running.draw();
        });
    }

    fn progress_finish(&self, stage: &str) {
        self.update(stage, |running| {
            if let Some(bar) = &running.bar {
                bar.set_style(spinning());
                bar.set_message(running.kind.clone());
            }
        });
    }

    fn warning(&self, stage: Option<&str>, message: &str) {
        let line = match stage {
            Some(stage) => format!("warning: stage `{stage}`: {message}"),
            None => format!("warning: {message}"),
        };
        tell(self.bars.as_ref(), &line);
    }
}

fn tell(bars: Option<&MultiProgress>, line: &str) {
    match bars {
        Some(bars) => bars.suspend(|| output::error(line)),
        None => output::error(line),
    }
}

fn new_bar(bars: &MultiProgress, stage: &str, name_width: usize, kind: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(0));
    bar.set_style(spinning());
    bar.set_prefix(format!("{stage:<name_width$}"));
    bar.set_message(kind.to_owned());
    bar.enable_steady_tick(REDRAW_INTERVAL);
    bar
}

/// For work that doesn't say how long it is.
fn spinning() -> ProgressStyle {
    template("{prefix}  {spinner} {elapsed}  {wide_msg}")
}

/// For counted work.
fn counting() -> ProgressStyle {
    template("{prefix}  [{bar:20}] {wide_msg}").progress_chars("=> ")
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("BUG: a progress template that can't be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_progress_has_rate_and_time_left() {
        let mut running = Running {
            unit: "images".to_owned(),
            total: 12_000,
            resumed: 1_000,
            done: 3_000,
            began: Instant::now() - Duration::from_secs(10),
            ..Running::new()
        };
        assert_eq!(running.text(), "3,000 of 12,000 images, 200/s, 45.0 s left");
        running.label = "hashing".to_owned();
        running.note = "loss 1.2".to_owned();
        running.total = 0;
        assert_eq!(running.text(), "hashing: 3,000 images, 200/s, loss 1.2");
        running.unit = "bytes".to_owned();
        running.done = 3_001_000;
        assert_eq!(running.text(), "hashing: 3.0 MB, 300.0 kB/s, loss 1.2");
        running.unit = "images".to_owned();
        running.done = running.resumed;
        assert_eq!(running.text(), "hashing: 1,000 images, loss 1.2");
    }
}
