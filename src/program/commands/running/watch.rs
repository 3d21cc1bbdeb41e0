//! `status --watch`: follows a run of this pipeline from another terminal, by the progress file
//! beside its cache. Where none runs it waits for one, or for the run of the process that it was
//! asked for; it ends with the run: 0 when the run succeeded, else 1.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seedpipe_base::{Refusal, neutral};
use seedpipe_engine::{Engine, clock, progress_file};
use serde_json::{Value, json};

use crate::progress::console::{RunProgress, RunState, Screen, State, Work, tree_and_bars};
use crate::{terminal::figures, terminal::output};

pub fn execute(
    engine: &Engine,
    interval: Duration,
    process: Option<u32>,
    json: bool,
    is_verbose: bool,
) -> Result<ExitCode> {
    let watched = Watched::of(engine);
    let mut view = Presentation::new(json, is_verbose);
    let mut wanted = match process {
        Some(process) => Wanted::Process(process),
        None => Wanted::Newest,
    };
    loop {
        // Asked before it is read: what a run that is over wrote last is then there.
        let is_over = process.is_some_and(|process| !is_alive(process));
        let progress = match (watched.find(&wanted)?, &wanted) {
            (Some((run, progress)), _) => {
                wanted = Wanted::Run(run, progress.pid);
                Some(progress)
            }
            // A later run has removed its file.
            (None, Wanted::Run(_, process)) => Some(gone(*process)),
            (None, _) => None,
        };
        match progress {
            Some(progress) => {
                view.show(&progress)?;
                if progress.state != RunState::Running {
                    return view.end(&progress);
                }
            }
            None => match process {
                Some(process) if is_over => bail!(
                    Refusal::failure(format!(
                        "process {process} has told of no run of this pipeline, and is over"
                    ))
                    .hint("without `--pid` the newest run is followed")
                ),
                _ => view.wait()?,
            },
        }
        if output::reader_is_gone() {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(interval);
    }
}

/// Which run is shown.
enum Wanted {
    /// That goes on, or began since the watching did.
    Newest,
    /// Of this process number; of several, the newest.
    Process(u32),
    /// By its own name, and its process number.
    Run(String, u32),
}

/// The runs of one pipeline.
struct Watched<'a> {
    engine: &'a Engine,
    pipeline: String,
    /// When it began to look: a run that began and ended since then counts too.
    since: String,
}

impl<'a> Watched<'a> {
    fn of(engine: &'a Engine) -> Self {
        let path = engine.project().path();
        let path = fs_err::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Watched {
            engine,
            pipeline: path.display().to_string(),
            since: clock::now(),
        }
    }

    /// The wanted run's name, and what it wrote last, if it did.
    fn find(&self, wanted: &Wanted) -> Result<Option<(String, RunProgress)>> {
        let cache = self.engine.project().cache();
        let runs = progress_file::read_all(cache).context("what runs tell can't be read")?;
        let mut found: Option<(String, RunProgress)> = None;
        for run in runs {
            // Another version may write another form.
            let Ok(mut progress) = serde_json::from_slice::<RunProgress>(&run.bytes) else {
                continue;
            };
            let is_wanted = match wanted {
                Wanted::Newest => run.is_alive || progress.started > self.since,
                Wanted::Process(process) => progress.pid == *process,
                Wanted::Run(name, _) => run.run == *name,
            };
            if !is_wanted || progress.pipeline != self.pipeline {
                continue;
            }
            if !run.is_alive {
                progress.end(RunState::Died);
            }
            let is_newer = found
                .as_ref()
                .is_none_or(|(_, found)| found.started <= progress.started);
            if is_newer {
                found = Some((run.run, progress));
            }
        }
        Ok(found)
    }
}

/// Whether there is such a process, and it hasn't ended (one that its parent has not asked about
/// yet, a zombie, has).
fn is_alive(process: u32) -> bool {
    let Ok(stat) = fs_err::read_to_string(format!("/proc/{process}/stat")) else {
        return false;
    };
    // `4711 (name) S …`, where the name may hold anything.
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A run of which only that it is over is known.
fn gone(process: u32) -> RunProgress {
    RunProgress {
        pid: process,
        state: RunState::Died,
        ..RunProgress::empty()
    }
}

/// How it is shown.
enum Presentation {
    /// A line of JSON for each change.
    Json {
        last: Option<Value>,
    },
    Drawn {
        screen: Screen,
        is_verbose: bool,
    },
    /// A line of text for each change.
    Lines {
        last: Vec<String>,
    },
}

impl Presentation {
    fn new(json: bool, is_verbose: bool) -> Self {
        if json {
            return Presentation::Json { last: None };
        }
        match Screen::on_stdout() {
            Some(screen) => Presentation::Drawn { screen, is_verbose },
            None => Presentation::Lines { last: Vec::new() },
        }
    }

    fn wait(&mut self) -> Result<()> {
        const IDLE: &str = "no run of this pipeline; waiting for one, Ctrl-C ends";
        match self {
            Presentation::Json { last } => print_if_new(last, json!({"v": 1, "state": "idle"})),
            Presentation::Drawn { screen, is_verbose } => {
                let line = screen.style(*is_verbose).cut(IDLE);
                screen.draw(vec![line]);
                Ok(())
            }
            Presentation::Lines { last } if last.is_empty() => {
                last.push(String::new());
                output::print(IDLE)
            }
            Presentation::Lines { .. } => Ok(()),
        }
    }

    fn show(&mut self, progress: &RunProgress) -> Result<()> {
        match self {
            Presentation::Json { last } => {
                let value = serde_json::to_value(progress).context("BUG: progress is JSON")?;
                print_if_new(last, value)
            }
            Presentation::Drawn { screen, is_verbose } if progress.state != RunState::Running => {
                screen.leave(progress, *is_verbose);
                Ok(())
            }
            Presentation::Drawn { screen, is_verbose } => {
                let mut style = screen.style(*is_verbose);
                let head = style.colours.faint(&style.cut(&head(progress)));
                style.height = style.height.saturating_sub(1).max(1);
                let mut lines = vec![head];
                lines.extend(tree_and_bars(progress, true, &style));
                screen.draw(lines);
                Ok(())
            }
            Presentation::Lines { last } => {
                let lines = lines(progress);
                let new: Vec<&str> = lines
                    .iter()
                    .filter(|line| !last.contains(line))
                    .map(String::as_str)
                    .collect();
                output::print(&new.join("\n"))?;
                *last = lines;
                Ok(())
            }
        }
    }

    fn end(self, progress: &RunProgress) -> Result<ExitCode> {
        let word = match progress.state {
            RunState::Running | RunState::Succeeded => "succeeded",
            RunState::Failed => "failed",
            RunState::Stopped => "was stopped",
            RunState::Died => "ended without a word",
        };
        if !matches!(self, Presentation::Json { .. }) {
            let counts: Vec<String> = progress
                .count()
                .iter()
                .map(|(word, count)| format!("{count} {word}"))
                .collect();
            let counts = match counts.is_empty() {
                true => String::new(),
                false => format!(": {}", counts.join(", ")),
            };
            output::print(&format!(
                "the run {word} after {}{counts}",
                figures::duration(progress.seconds)
            ))?;
        }
        Ok(match progress.state {
            RunState::Succeeded => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }
}

fn print_if_new(last: &mut Option<Value>, value: Value) -> Result<()> {
    if last.as_ref() == Some(&value) {
        return Ok(());
    }
    output::print_json_text(&value.to_string())?;
    *last = Some(value);
    Ok(())
}

/// `pid 4711 on host, 1:02:03: 3 of 9 stages`.
fn head(progress: &RunProgress) -> String {
    let is_open = |state: State| matches!(state, State::Waiting | State::Running);
    let over = progress
        .stages
        .iter()
        .filter(|stage| !is_open(stage.state))
        .count();
    format!(
        "pid {} on {}, {}: {over} of {} stages",
        progress.pid,
        neutral::line(&progress.host),
        figures::clock(progress.seconds),
        progress.stages.len()
    )
}

/// A line for each stage that is not waiting.
fn lines(progress: &RunProgress) -> Vec<String> {
    let names = progress
        .stages
        .iter()
        .map(|stage| stage.stage.chars().count());
    let width = names.max().unwrap_or(0);
    let begun = progress
        .stages
        .iter()
        .filter(|stage| stage.state != State::Waiting);
    begun
        .map(|stage| {
            let text = match stage.state {
                State::Running => stage.work.as_ref().map(Work::text).unwrap_or_default(),
                State::Skipped => stage.why.clone(),
                _ => stage.result.clone(),
            };
            let line = format!("{:<width$}  {:<7}  {text}", stage.stage, stage.state.word());
            line.trim_end().to_owned()
        })
        .collect()
}
