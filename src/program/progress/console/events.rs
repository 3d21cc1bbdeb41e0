//! `--log-format json`: one event a line on stderr. The schema is in docs/progress.md; a field that goes or changes its meaning raises
//! [`VERSION`], a new one doesn't.

use std::collections::BTreeMap;

use seedpipe_engine::{Digest, Holder, Measured, StageReport, StageState, StageStatus};
use serde_json::{Value, json};

use super::outcome;
use super::picture::{Picture, RunState, Stage};
use crate::terminal::output;

/// Between two events of a stage's progress, in seconds.
const INTERVAL: f64 = 1.0;

#[derive(Default)]
pub struct Events {
    /// Stage → when its last progress was told, and how far it was.
    told: BTreeMap<String, (f64, Value)>,
}

impl Events {
    pub fn run_started(&mut self, picture: &Picture, targets: &[String], plan: &[StageStatus]) {
        let stages = picture.stages.iter().zip(plan).map(|(stage, status)| {
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
                "pid": picture.pid,
                "host": picture.host,
                "pipeline": picture.pipeline,
                "targets": targets,
                "stages": stages.collect::<Vec<_>>(),
            }),
        );
    }

    pub fn stage_started(&mut self, stage: &str, kind: &str, fingerprint: Digest, why: &str) {
        self.told.remove(stage);
        let fields = json!({"stage": stage, "kind": kind, "fingerprint": fingerprint, "why": why});
        output::event("stage_started", fields);
    }

    pub fn stage_resumed(&mut self, stage: &str, finished_shards: usize, shards: usize) {
        let fields = json!({"stage": stage, "finished_shards": finished_shards, "shards": shards});
        output::event("stage_resumed", fields);
    }

    pub fn stage_waiting(&mut self, stage: &str, holder: &Holder) {
        output::event("stage_waiting", json!({"stage": stage, "holder": holder}));
    }

    /// Of each stage at work whose progress changed, once a second at most.
    pub fn progress(&mut self, picture: &Picture, now: f64) {
        for stage in picture.running() {
            let Some(fields) = progress_of(stage) else {
                continue;
            };
            let is_due = self.told.get(&stage.stage).is_none_or(|(moment, before)| {
                now - moment >= INTERVAL
                    && ["done", "label"]
                        .iter()
                        .any(|key| before[key] != fields[key])
            });
            if is_due {
                output::event("progress", fields.clone());
                self.told.insert(stage.stage.clone(), (now, fields));
            }
        }
    }

    pub fn metrics(&mut self, stage: &str, measured: &Measured) {
        let values: BTreeMap<&str, f64> = measured.values.iter().copied().collect();
        output::event(
            "metrics",
            json!({
                "stage": stage,
                "over": measured.over.as_str(),
                "step": measured.step,
                "epoch": measured.epoch.map(|(epoch, _)| epoch),
                "epochs": measured.epoch.map(|(_, epochs)| epochs),
                "split": measured.split,
                "values": values,
            }),
        );
    }

    pub fn stage_finished(&mut self, report: &StageReport) {
        self.told.remove(&report.stage);
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

    pub fn warning(&mut self, stage: Option<&str>, message: &str) {
        let fields = json!({"level": "warning", "stage": stage, "message": message});
        output::event("message", fields);
    }

    pub fn run_finished(&mut self, state: RunState, mut fields: Value) {
        fields["outcome"] = json!(state);
        output::event("run_finished", fields);
    }
}

/// None before the stage tells how far it is.
fn progress_of(stage: &Stage) -> Option<Value> {
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
