//! What a worker says while it works, a line of JSON each, so that whoever started it hears the same
//! [`Event`]s as of work in its own process.

use std::io::{BufRead, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};

use crate::base::cancel::Cancelled;
use crate::kind::observer::{Event, Measured, MeasuredOver, Observer};

/// Between two lines that only count on.
const COUNTED: Duration = Duration::from_millis(100);

/// One thing that a worker says of its stage.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Said {
    Resumed {
        finished_shards: usize,
        shards: usize,
    },
    Started {
        label: String,
        unit: String,
        total: u64,
        done: u64,
    },
    Advanced(u64),
    Note(String),
    Waited {
        what: String,
        seconds: f64,
    },
    Finished,
    Steps(u64),
    Measured {
        over: MeasuredOver,
        step: u64,
        epoch: Option<u64>,
        epochs: Option<u64>,
        split: String,
        /// JSON has no number for what is not finite.
        values: Vec<(String, Option<f64>)>,
    },
    Warning(String),
    /// The last line of a worker that could not do its share.
    Failed {
        message: String,
        cancelled: bool,
    },
    /// The last line of one that has.
    Done,
}

/// Writes what happens in a stage's work as lines.
pub struct Teller<W> {
    state: Mutex<Telling<W>>,
}

struct Telling<W> {
    out: W,
    /// Counted and not yet told.
    advanced: u64,
    told: Instant,
}

impl<W: Write> Telling<W> {
    fn say(&mut self, said: &Said) {
        let mut lines = String::new();
        let mut line = |said: &Said| {
            lines += &serde_json::to_string(said).expect("BUG: what a worker says is JSON");
            lines.push('\n');
        };
        if self.advanced > 0 {
            line(&Said::Advanced(std::mem::take(&mut self.advanced)));
        }
        line(said);
        self.told = Instant::now();
        // Nobody listens any more: what is finished is found all the same.
        let _ = self
            .out
            .write_all(lines.as_bytes())
            .and_then(|()| self.out.flush());
    }
}

impl<W: Write> Teller<W> {
    pub fn new(out: W) -> Self {
        Teller {
            state: Mutex::new(Telling {
                out,
                advanced: 0,
                told: Instant::now(),
            }),
        }
    }

    /// The last line.
    pub fn end(&self, worked: &Result<()>) {
        self.say(&match worked {
            Ok(()) => Said::Done,
            Err(error) => Said::Failed {
                message: format!("{error:#}"),
                cancelled: error.is::<Cancelled>(),
            },
        });
    }

    fn say(&self, said: &Said) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.say(said);
    }
}

impl<W: Write + Send> Observer for Teller<W> {
    fn event(&self, event: &Event) {
        let said = match *event {
            Event::WorkAdvanced { count, .. } => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.advanced += count;
                if state.told.elapsed() >= COUNTED {
                    let count = std::mem::take(&mut state.advanced);
                    state.say(&Said::Advanced(count));
                }
                return;
            }
            Event::StageResumed {
                finished_shards,
                shards,
                ..
            } => Said::Resumed {
                finished_shards,
                shards,
            },
            Event::WorkStarted {
                label,
                unit,
                total,
                done,
                ..
            } => Said::Started {
                label: label.to_owned(),
                unit: unit.to_owned(),
                total,
                done,
            },
            Event::WorkNote { note, .. } => Said::Note(note.to_owned()),
            Event::WorkWaited { what, waited, .. } => Said::Waited {
                what: what.to_owned(),
                seconds: waited.as_secs_f64(),
            },
            Event::WorkFinished { .. } => Said::Finished,
            Event::StepsStarted { step, .. } => Said::Steps(step),
            Event::Metrics { measured, .. } => Said::Measured {
                over: measured.over,
                step: measured.step,
                epoch: measured.epoch,
                epochs: measured.epochs,
                split: measured.split.to_owned(),
                values: measured
                    .values
                    .iter()
                    .map(|(name, value)| {
                        (
                            (*name).to_owned(),
                            Some(*value).filter(|value| value.is_finite()),
                        )
                    })
                    .collect(),
            },
            Event::Warning { message, .. } => Said::Warning(message.to_owned()),
            // Whoever started the worker says these.
            Event::StageStarted { .. } | Event::StageWaiting { .. } | Event::StageFinished(_) => {
                return;
            }
        };
        self.say(&said);
    }
}

/// Tells an observer what a worker says, until it ends.
///
/// # Errors
/// What the worker failed of; when it ends without having said that it is done.
pub fn listen(stage: &str, lines: impl BufRead, observer: &dyn Observer) -> Result<()> {
    for line in lines.lines() {
        let line = line.context("a worker can't be heard any more")?;
        let said: Said = serde_json::from_str(&line)
            .map_err(|error| anyhow!("expected a worker's words, got `{line}`: {error}"))?;
        match said {
            Said::Done => return Ok(()),
            Said::Failed {
                cancelled: true, ..
            } => return Err(Cancelled.into()),
            Said::Failed { message, .. } => return Err(Refusal::failure(message).into()),
            said => pass_on(stage, said, observer),
        }
    }
    Err(anyhow!("its worker ended without a word"))
}

fn pass_on(stage: &str, said: Said, observer: &dyn Observer) {
    match said {
        Said::Resumed {
            finished_shards,
            shards,
        } => observer.event(&Event::StageResumed {
            stage,
            finished_shards,
            shards,
        }),
        Said::Started {
            label,
            unit,
            total,
            done,
        } => observer.event(&Event::WorkStarted {
            stage,
            label: &label,
            unit: &unit,
            total,
            done,
        }),
        Said::Advanced(count) => observer.event(&Event::WorkAdvanced { stage, count }),
        Said::Note(note) => observer.event(&Event::WorkNote { stage, note: &note }),
        Said::Waited { what, seconds } => observer.event(&Event::WorkWaited {
            stage,
            what: &what,
            waited: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        }),
        Said::Finished => observer.event(&Event::WorkFinished { stage }),
        Said::Steps(step) => observer.event(&Event::StepsStarted { stage, step }),
        Said::Measured {
            over,
            step,
            epoch,
            epochs,
            split,
            values,
        } => {
            let values: Vec<(&str, f64)> = values
                .iter()
                .map(|(name, value)| (name.as_str(), value.unwrap_or(f64::NAN)))
                .collect();
            let measured = Measured {
                over,
                step,
                epoch,
                epochs,
                split: &split,
                values: &values,
            };
            observer.event(&Event::Metrics { stage, measured });
        }
        Said::Warning(message) => observer.event(&Event::Warning {
            stage: Some(stage),
            message: &message,
        }),
        Said::Failed { .. } | Said::Done => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps events as text.
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Observer for Kept {
        fn event(&self, event: &Event) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }

    #[test]
    fn what_a_worker_says_is_heard_as_it_happened() {
        let stage = "student";
        let events = [
            Event::StageResumed {
                stage,
                finished_shards: 2,
                shards: 5,
            },
            Event::WorkStarted {
                stage,
                label: "epoch 1",
                unit: "views",
                total: 9,
                done: 3,
            },
            Event::WorkNote {
                stage,
                note: "loss 1",
            },
            Event::WorkWaited {
                stage,
                what: "rendering",
                waited: Duration::from_millis(1_500),
            },
            Event::StepsStarted { stage, step: 7 },
            Event::Metrics {
                stage,
                measured: Measured {
                    over: MeasuredOver::Epoch,
                    step: 8,
                    epoch: Some(1),
                    epochs: None,
                    split: "train",
                    values: &[("loss", 0.1), ("other", f64::NAN)],
                },
            },
            Event::Warning {
                stage: Some(stage),
                message: "slow",
            },
            Event::WorkFinished { stage },
        ];
        let mut out = Vec::new();
        {
            let teller = Teller::new(&mut out);
            events.iter().for_each(|event| teller.event(event));
            teller.end(&Ok(()));
        }
        let heard = Kept::default();
        listen(stage, out.as_slice(), &heard).unwrap();
        let expected: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(heard.0.into_inner().unwrap(), expected);
    }

    #[test]
    fn counts_are_told_together_and_none_is_lost() {
        let mut out = Vec::new();
        {
            let teller = Teller::new(&mut out);
            let (stage, count) = ("a", 2);
            for _ in 0..1_000 {
                teller.event(&Event::WorkAdvanced { stage, count });
            }
            teller.end(&Ok(()));
        }
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().count() < 100, "{text}");
        let counted = |line: &str| match serde_json::from_str(line).unwrap() {
            Said::Advanced(count) => count,
            _ => 0,
        };
        assert_eq!(text.lines().map(counted).sum::<u64>(), 2_000);
    }

    #[test]
    fn how_a_worker_ended_is_known() {
        let ended = |worked: Result<()>| {
            let mut out = Vec::new();
            Teller::new(&mut out).end(&worked);
            listen("a", out.as_slice(), &Kept::default())
        };
        assert!(ended(Ok(())).is_ok());
        assert!(ended(Err(Cancelled.into())).unwrap_err().is::<Cancelled>());
        let failed = ended(Err(anyhow!("inner").context("outer"))).unwrap_err();
        assert_eq!(failed.to_string(), "outer: inner");
        let silent = listen("a", &b""[..], &Kept::default()).unwrap_err();
        assert_eq!(silent.to_string(), "its worker ended without a word");
    }
}
