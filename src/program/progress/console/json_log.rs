//! `--log-format json`: one event a line on stderr. The schema is in docs/progress.md; a field that
//! goes or changes its meaning raises [`output::EVENTS_VERSION`], a new one doesn't.

use std::collections::BTreeMap;

use seedpipe_engine::{Event, MeasuredOver, StageReport, StageState, StageStatus};
use serde_json::{Value, json};

use super::outcome;
use super::run_progress::{RunProgress, RunState, StageProgress};
use crate::terminal::output;

/// Between two events of a stage's progress, in seconds.
const INTERVAL: f64 = 1.0;

#[derive(Default)]
pub struct JsonLog {
    /// Stage → when its progress was last written, and how far it was.
    last: BTreeMap<String, (f64, Value)>,
}

impl JsonLog {
    pub fn run_started(
        &mut self,
        progress: &RunProgress,
        targets: &[String],
        plan: &[StageStatus],
    ) {
        let stages = progress.stages.iter().zip(plan).map(|(stage, status)| {
            json!({
                "stage": stage.stage,
                "kind": stage.kind,
                "needs": stage.needs,
                "state": match status.state {
                    StageState::Cached => "cached",
                    StageState::WillRun => "will_run",
                    StageState::MayRun { .. } => "may_run",
                },
                "reasons": status.reasons,
                "fingerprint": status.fingerprint,
            })
        });
        output::event(
            "run_started",
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "pid": progress.pid,
                "host": progress.host,
                "pipeline": progress.pipeline,
                "targets": targets,
                "stages": stages.collect::<Vec<_>>(),
            }),
        );
    }

    pub fn event(&mut self, event: &Event) {
        match *event {
            Event::StageStarted { stage, .. } => {
                self.last.remove(stage);
                write(event);
            }
            Event::StageFinished(report) => self.stage_finished(report),
            // Single steps are in the progress, once a second at most.
            Event::Metrics { measured, .. } if measured.over == MeasuredOver::Step => {}
            Event::StageResumed { .. } | Event::StageWaiting { .. } | Event::Metrics { .. } => {
                write(event);
            }
            Event::Warning { stage, message } => {
                let fields = json!({"level": "warning", "stage": stage, "message": message});
                output::event("message", fields);
            }
            _ => {}
        }
    }

    /// Of each stage at work whose progress changed, once a second at most.
    pub fn progress(&mut self, progress: &RunProgress, now: f64) {
        for stage in progress.running() {
            let Some(mut fields) = progress_of(stage) else {
                continue;
            };
            fields["run_seconds_left"] = json!(progress.seconds_left.map(rounded));
            let is_due = self.last.get(&stage.stage).is_none_or(|(moment, before)| {
                now - moment >= INTERVAL
                    && ["done", "label"]
                        .iter()
                        .any(|key| before[key] != fields[key])
            });
            if is_due {
                output::event("progress", fields.clone());
                self.last.insert(stage.stage.clone(), (now, fields));
            }
        }
    }

    fn stage_finished(&mut self, report: &StageReport) {
        self.last.remove(&report.stage);
        let outcome = match outcome::is_cancelled(report) {
            true => "stopped",
            false => report.outcome.as_str(),
        };
        let mut fields = json!({
            "stage": report.stage,
            "kind": report.kind,
            "outcome": outcome,
            "fingerprint": report.fingerprint,
            "content": report.content,
            "seconds": rounded(report.seconds),
            "rows": report.rows,
            "headline": report.headline,
            "telemetry": report.telemetry,
        });
        if let Some(error) = &report.error {
            fields["error"] = format!("{error:#}").into();
        }
        output::event("stage_finished", fields);
    }

    pub fn run_finished(&mut self, state: RunState, mut fields: Value) {
        fields["outcome"] = json!(state);
        output::event("run_finished", fields);
    }
}

/// As the event itself is.
fn write(event: &Event) {
    let written = serde_json::to_value(event).expect("BUG: an event is JSON");
    for (name, fields) in written.as_object().into_iter().flatten() {
        output::event(name, fields.clone());
    }
}

/// None before the stage reports how far it is.
fn progress_of(stage: &StageProgress) -> Option<Value> {
    let work = stage.work.as_ref().filter(|work| !work.unit.is_empty())?;
    Some(json!({
        "stage": stage.stage,
        "label": Some(&work.label).filter(|label| !label.is_empty()),
        "unit": work.unit,
        "done": work.done,
        "total": (work.total > 0).then_some(work.total),
        "resumed": work.resumed,
        "per_second": rounded(work.per_second),
        "seconds": stage.seconds.map(rounded),
        "seconds_left": work.seconds_left.map(rounded),
        "waiting_for": Some(&work.waiting_for).filter(|what| !what.is_empty()),
        "waiting_share": work.waiting_share.map(rounded),
        "step": work.step,
        "epoch": work.epoch,
        "epochs": work.epochs,
        "values": work.values,
        "note": Some(&work.note).filter(|note| !note.is_empty()),
    }))
}

/// To the thousandth: more digits of a time or a share say nothing.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
