//! What is shown at the moment, and to whom: shared by the engine's threads, the thread that draws, and the signal handler.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::events::Events;
use super::look::Look;
use super::picture::{Picture, RunState, Stage, State};
use super::screen::Screen;
use super::telling::Telling;
use super::work::Work;
use super::{Verbosity, bar, tree};
use crate::progress::tensorboard::TensorBoard;
use crate::{terminal::figures, terminal::output};

/// Between two lines of a stage where there is no terminal, in seconds.
const LINE_INTERVAL: f64 = 30.0;
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

pub struct Shared {
    pub verbosity: Verbosity,
    /// Of the longest stage name.
    name_width: usize,
    began: Instant,
    shown: Mutex<Shown>,
    wake: Condvar,
}

pub struct Shown {
    pub picture: Picture,
    /// Whether the picture holds the whole plan.
    pub has_plan: bool,
    /// None where stderr is no terminal, or is not drawn on.
    pub screen: Option<Screen>,
    pub events: Option<Events>,
    pub telling: Option<Telling>,
    pub tensorboard: Option<TensorBoard>,
    /// Stages at work, and when their last line was printed.
    pub told: Vec<(String, f64)>,
    pub is_over: bool,
}

impl Shared {
    pub fn new(verbosity: Verbosity, name_width: usize, shown: Shown) -> Self {
        Shared {
            verbosity,
            name_width,
            began: Instant::now(),
            shown: Mutex::new(shown),
            wake: Condvar::new(),
        }
    }

    /// Seconds since it began.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stage_line(&self, stage: &str, text: &str) -> String {
        format!("{stage:<width$}  {text}", width = self.name_width)
    }

    /// Draws until it is over. What is over at once is never drawn.
    pub fn keep_drawing(&self) {
        let mut shown = self.shown();
        while !shown.is_over {
            let waited = self.wake.wait_timeout(shown, REDRAW_INTERVAL);
            shown = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !shown.is_over {
                self.draw(&mut shown);
            }
        }
    }

    fn draw(&self, shown: &mut Shown) {
        let now = self.now();
        shown.picture.refresh(now);
        shown.draw(self.verbosity == Verbosity::Verbose);
        let Shown {
            picture,
            events,
            telling,
            ..
        } = shown;
        if let Some(events) = events {
            events.progress(picture, now);
        }
        if let Some(telling) = telling {
            telling.tell_now_and_then(picture, now);
        }
        let has_lines = shown.tells_lines() && shown.screen.is_none();
        if has_lines && self.verbosity > Verbosity::Quiet {
            for (stage, text) in shown.lines_due(now) {
                output::error(&self.stage_line(&stage, &text));
            }
        }
    }

    /// Leaves the last picture on the screen, tells it to others, and shows nothing more.
    pub fn close(&self, state: RunState) {
        let mut shown = self.shown();
        if shown.is_over {
            return;
        }
        shown.is_over = true;
        shown.picture.refresh(self.now());
        // A run that was refused has nothing to show.
        let has_begun = shown
            .picture
            .stages
            .iter()
            .any(|stage| stage.state != State::Waiting);
        shown.picture.end(state);
        shown.leave_last_picture(has_begun, self.verbosity == Verbosity::Verbose);
        if let Some(telling) = shown.telling.take() {
            telling.tell_last(&shown.picture);
        }
        drop(shown);
        self.wake.notify_all();
    }
}

impl Shown {
    /// Whether stages are told of by lines, not by a drawn tree or by events.
    pub fn tells_lines(&self) -> bool {
        self.events.is_none() && (self.screen.is_none() || !self.has_plan)
    }

    /// A line that stays.
    pub fn tell(&mut self, line: &str) {
        match &mut self.screen {
            Some(screen) if !self.is_over => {
                let line = screen.look(false).colours.message(line);
                screen.print(&line);
            }
            _ => output::error(line),
        }
    }

    pub fn warn(&mut self, stage: Option<&str>, message: &str) {
        match (&mut self.events, stage) {
            (Some(events), _) => events.warning(stage, message),
            (None, Some(stage)) => self.tell(&format!("warning: stage `{stage}`: {message}")),
            (None, None) => self.tell(&format!("warning: {message}")),
        }
    }

    fn draw(&mut self, is_verbose: bool) {
        if let Some(screen) = &mut self.screen {
            let lines = drawn(&self.picture, self.has_plan, &screen.look(is_verbose));
            screen.draw(lines);
        }
    }

    /// The whole tree, however long.
    fn leave_last_picture(&mut self, has_begun: bool, is_verbose: bool) {
        let Some(screen) = &mut self.screen else {
            return;
        };
        screen.clear();
        if self.has_plan && has_begun {
            screen.leave(&self.picture, is_verbose);
        }
    }

    /// (stage, text) of stages at work that have been silent for long.
    fn lines_due(&mut self, now: f64) -> Vec<(String, String)> {
        let at_work: Vec<&Stage> = self.picture.running().collect();
        self.told
            .retain(|(name, _)| at_work.iter().any(|stage| stage.stage == *name));
        let mut due = Vec::new();
        for stage in at_work {
            let place = self.told.iter().position(|(name, _)| *name == stage.stage);
            let place = place.unwrap_or_else(|| {
                self.told.push((stage.stage.clone(), stage.began));
                self.told.len() - 1
            });
            let last = &mut self.told[place].1;
            if now - *last >= LINE_INTERVAL {
                *last = now;
                let text = stage.work.as_ref().map(Work::text).unwrap_or_default();
                due.push(match text.is_empty() {
                    true => {
                        let seconds = figures::clock(now - stage.began);
                        (stage.stage.clone(), format!("at work for {seconds}"))
                    }
                    false => (stage.stage.clone(), text),
                });
            }
        }
        due
    }
}

/// The tree, and below it a line for each stage at work, as many as there is room for.
///
/// - `has_plan`: whether there is a tree
pub fn drawn(picture: &Picture, has_plan: bool, look: &Look) -> Vec<String> {
    let at_work: Vec<&Stage> = picture.running().take(look.height).collect();
    let names = at_work.iter().map(|stage| stage.stage.chars().count());
    let names = names.max().unwrap_or(0);
    let bars: Vec<String> = at_work
        .iter()
        .map(|stage| bar::line(stage, names, look))
        .collect();
    let look = Look {
        height: look.height - bars.len(),
        ..*look
    };
    // A tree of one or two lines says nothing.
    let mut lines = match has_plan && look.height > 2 {
        true => tree::lines(picture, &look),
        false => Vec::new(),
    };
    lines.extend(bars);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_with(stage: &str, began: f64) -> Shown {
        let mut picture = Picture::empty();
        picture.stage(stage).start("distill", String::new(), began);
        Shown {
            picture,
            has_plan: true,
            screen: None,
            events: None,
            telling: None,
            tensorboard: None,
            told: Vec::new(),
            is_over: false,
        }
    }

    #[test]
    fn a_stage_has_a_line_each_half_minute_while_it_runs() {
        let mut shown = shown_with("student", 5.0);
        let mut told = |now: f64| shown.lines_due(now).pop().map(|(_, text)| text);
        assert_eq!(told(34.9), None);
        assert_eq!(told(35.1).unwrap(), "at work for 30 s");
        assert_eq!(told(60.0), None);
        assert_eq!(told(65.2).unwrap(), "at work for 1 min 00 s");
        shown.picture.stage("student").state = State::Done;
        assert_eq!(shown.lines_due(200.0), []);
    }
}
