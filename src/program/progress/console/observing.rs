//! What the console makes of what the engine tells.

use std::time::Duration;

use seedpipe_engine::{Digest, Holder, Measured, MeasuredOver, Observer, StageReport};

use super::{Console, Shown, State, outcome};

impl Observer for Console {
    fn reasons(&self, stage: &str, reasons: &[String]) {
        self.change(stage, |stage, _| stage.why = reasons.join("; "));
    }

    fn stage_started(&self, stage: &str, kind: &str, fingerprint: Digest) {
        self.change(stage, |stage, now| {
            stage.start(kind, fingerprint.short(), now);
        });
        let mut shown = self.shown();
        let Shown {
            picture,
            events,
            telling,
            ..
        } = &mut *shown;
        let why = picture.stage(stage).why.clone();
        if let Some(events) = events {
            events.stage_started(stage, kind, fingerprint, &why);
        }
        if let Some(telling) = telling {
            telling.tell(picture);
        }
        let has_lines = shown.tells_lines() && shown.screen.is_none();
        drop(shown);
        if has_lines {
            let why = match self.is_verbose() && !why.is_empty() {
                true => format!(": {why}"),
                false => String::new(),
            };
            self.stage_line(stage, &format!("starts  ({kind}){why}"));
        }
        self.curves(stage, |curves| curves.stage_started(stage, fingerprint));
        self.keep_drawing();
    }

    fn stage_finished(&self, report: &StageReport) {
        let is_verbose = self.is_verbose();
        let mut shown = self.shown();
        shown
            .picture
            .stage(&report.stage)
            .finish(report, is_verbose);
        shown.picture.settle();
        drop(shown);
        self.curves(&report.stage, |curves| curves.stage_finished(&report.stage));
        let mut shown = self.shown();
        if let Some(events) = &mut shown.events {
            events.stage_finished(report);
        }
        let tells_lines = shown.tells_lines();
        drop(shown);
        if tells_lines {
            self.stage_line(&report.stage, &outcome::line(report, is_verbose));
        }
        if let Some(told) = &self.on_finished {
            told(report);
        }
    }

    fn waiting(&self, stage: &str, holder: &Holder) {
        self.change(stage, |stage, _| stage.wait_for(holder));
        let mut shown = self.shown();
        match &mut shown.events {
            Some(events) => events.stage_waiting(stage, holder),
            None => {
                drop(shown);
                self.stage_line(
                    stage,
                    &format!("waits for {holder}, which makes the same artifact"),
                );
            }
        }
        self.keep_drawing();
    }

    fn resumed(&self, stage: &str, finished_shards: usize, total: usize) {
        let mut shown = self.shown();
        match &mut shown.events {
            Some(events) => events.stage_resumed(stage, finished_shards, total),
            None => {
                drop(shown);
                self.stage_line(
                    stage,
                    &format!("goes on: {finished_shards} of {total} shards were finished before"),
                );
            }
        }
    }

    fn progress_begin(&self, stage: &str, label: &str, unit: &str, total: u64, done: u64) {
        let label = if label == stage { "" } else { label };
        self.work(stage, |work, now| work.begin(label, unit, total, done, now));
        self.keep_drawing();
    }

    fn progress_advance(&self, stage: &str, count: u64) {
        self.work(stage, |work, now| work.advance(count, now));
    }

    fn progress_note(&self, stage: &str, text: &str) {
        self.work(stage, |work, _| text.clone_into(&mut work.note));
    }

    fn progress_waited(&self, stage: &str, what: &str, waited: Duration) {
        self.work(stage, |work, _| work.wait(what, waited));
    }

    fn progress_finish(&self, stage: &str) {
        self.change(stage, |stage, _| {
            if stage.kind.is_empty() {
                // No stage of a run: there is nothing after it.
                (stage.state, stage.work) = (State::Waiting, None);
            } else {
                stage.work = Some(super::Work::default());
            }
        });
    }

    fn steps_begin(&self, stage: &str, step: u64) {
        self.curves(stage, |curves| curves.steps_begin(stage, step));
    }

    fn measured(&self, stage: &str, measured: &Measured) {
        let mut rates = (0.0, None);
        self.work(stage, |work, now| {
            work.measured(measured);
            work.refresh(now);
            rates = (work.per_second, work.waiting_share);
        });
        // Steps are told with the progress, once a second at most.
        if measured.over != MeasuredOver::Step
            && let Some(events) = &mut self.shown().events
        {
            events.metrics(stage, measured);
        }
        self.curves(stage, |curves| curves.measured(stage, measured, rates));
    }

    fn warning(&self, stage: Option<&str>, message: &str) {
        self.shown().warn(stage, message);
    }
}
