//! How far a stage's work is: amount, rate, time left, what it waits for, and the numbers that it
//! measures of itself.
//!
//! Moments are seconds since the run began, given from outside. The rate and the share of waiting
//! are of the last seconds, so that they follow what happens.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use seedpipe_engine::{Measured, MeasuredOver};
use serde::{Deserialize, Serialize};

use crate::terminal::figures;

/// What the rate is measured over, in seconds.
const WINDOW: f64 = 15.0;
/// Between two samples of it, in seconds.
const PAUSE: f64 = 0.25;
/// How much of the shown loss is the last step's: single batches jump.
const FRESH: f64 = 0.1;

/// Accuracies while training, and what they are called here.
const ACCURACIES: [(&str, &str); 2] =
    [("running_knn_top1", "kNN top-1"), ("running_top1", "top-1")];

/// Work at hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// What is done, where a stage does several things; else empty.
    pub label: String,
    /// `images`, `views`, `bytes` …; empty before it is known.
    pub unit: String,
    pub done: u64,
    /// 0: unknown.
    pub total: u64,
    /// Units that were done when the work began.
    pub resumed: u64,
    /// Units a second, over the last seconds.
    pub per_second: f64,
    /// None where the total or the rate is not known.
    pub seconds_left: Option<f64>,
    /// What the work waits for beside itself; empty: nothing that is known.
    pub waiting_for: String,
    /// Share of the last seconds that it waited, 0 to 1.
    pub waiting_share: Option<f64>,
    /// From 1.
    pub epoch: Option<u64>,
    pub epochs: Option<u64>,
    pub step: Option<u64>,
    /// What was measured last, by name.
    pub values: BTreeMap<String, f64>,
    pub note: String,
    /// The loss without the jumps of single batches.
    #[serde(skip)]
    smooth_loss: Option<f64>,
    /// Whether it reports numbers after every step.
    #[serde(skip)]
    has_steps: bool,
    #[serde(skip)]
    waited: f64,
    #[serde(skip)]
    samples: VecDeque<RateSample>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct RateSample {
    moment: f64,
    done: u64,
    /// Seconds.
    waited: f64,
}

impl Work {
    /// - `total`: 0: unknown
    pub fn begin(&mut self, label: &str, unit: &str, total: u64, done: u64, now: f64) {
        *self = Work {
            label: label.to_owned(),
            unit: unit.to_owned(),
            total,
            done,
            resumed: done,
            ..Work::default()
        };
        self.sample(now);
    }

    pub fn advance(&mut self, count: u64, now: f64) {
        self.done += count;
        let last = self
            .samples
            .back()
            .map_or(f64::NEG_INFINITY, |it| it.moment);
        if now - last >= PAUSE {
            self.sample(now);
        }
    }

    pub fn wait(&mut self, what: &str, waited: Duration) {
        if self.waiting_for != what {
            self.waiting_for = what.to_owned();
        }
        self.waited = waited.as_secs_f64();
    }

    /// Results of the whole work are no news of how far it is.
    pub fn measured(&mut self, measured: &Measured) {
        if measured.over == MeasuredOver::Whole {
            return;
        }
        self.step = Some(measured.step);
        self.epoch = measured.epoch;
        self.epochs = measured.epochs;
        match measured.over {
            MeasuredOver::Step => self.has_steps = true,
            // The mean of an epoch is not what is measured now; a look at other images is news.
            _ if self.has_steps && measured.split == "train" => return,
            _ => {}
        }
        for &(name, value) in measured.values {
            self.values.insert(name.to_owned(), value);
            if name == "loss" && self.has_steps {
                let before = self.smooth_loss.unwrap_or(value);
                self.smooth_loss = Some(before + FRESH * (value - before));
            }
        }
    }

    fn sample(&mut self, now: f64) {
        self.samples.push_back(RateSample {
            moment: now,
            done: self.done,
            waited: self.waited,
        });
        // One sample from before the window stays, so that it is covered.
        while self.samples.len() > 2 && self.samples[1].moment < now - WINDOW {
            self.samples.pop_front();
        }
    }

    /// Brings rate, time left and share of waiting up to date.
    pub fn refresh(&mut self, now: f64) {
        let Some(first) = self.samples.front() else {
            return;
        };
        let seconds = (now - first.moment).max(1e-3);
        self.per_second = self.done.saturating_sub(first.done) as f64 / seconds;
        self.seconds_left = (self.per_second > 0.0 && self.total >= self.done && self.total > 0)
            .then(|| (self.total - self.done) as f64 / self.per_second);
        self.waiting_share = (!self.waiting_for.is_empty())
            .then(|| ((self.waited - first.waited) / seconds).clamp(0.0, 1.0));
    }

    /// 0 to 1; none where the total is unknown.
    pub fn share(&self) -> Option<f64> {
        (self.total > 0).then(|| (self.done as f64 / self.total as f64).min(1.0))
    }

    /// `7,440 of 12,000 images`, `3.0 of 4.2 MB`; empty before it is known.
    pub fn amount(&self) -> String {
        if self.unit.is_empty() {
            return String::new();
        }
        let is_bytes = self.unit == "bytes";
        let amount = if is_bytes {
            figures::bytes
        } else {
            figures::count
        };
        let mut text = amount(self.done);
        if self.total > 0 {
            text.push_str(&format!(" of {}", amount(self.total)));
        }
        if !is_bytes {
            text.push_str(&format!(" {}", self.unit));
        }
        text
    }

    /// `211/s`.
    pub fn rate(&self) -> Option<String> {
        (self.per_second > 0.0).then(|| match self.unit.as_str() {
            "bytes" => format!("{}/s", figures::bytes(self.per_second as u64)),
            _ => format!("{}/s", figures::rate(self.per_second)),
        })
    }

    /// `52.0 s left`.
    pub fn left(&self) -> Option<String> {
        let seconds = self.seconds_left.filter(|_| self.total > self.done)?;
        Some(format!("{} left", figures::duration(seconds)))
    }

    /// `epoch 3 of 10`.
    pub fn epoch(&self) -> Option<String> {
        let (epoch, epochs) = (self.epoch?, self.epochs?);
        Some(format!("epoch {epoch} of {epochs}"))
    }

    /// `loss 1.2034`.
    pub fn loss(&self) -> Option<String> {
        let measured = self.values.get("loss").copied();
        let loss = self.smooth_loss.or(measured)?;
        Some(format!("loss {}", figures::value(loss)))
    }

    /// `kNN top-1 31.2 %`: the last look at the accuracy.
    pub fn accuracy(&self) -> Option<String> {
        ACCURACIES.iter().find_map(|(name, title)| {
            let share = self.values.get(*name)?;
            Some(format!("{title} {:.1} %", share * 100.0))
        })
    }

    /// `learning rate 0.0300`.
    pub fn learning_rate(&self) -> Option<String> {
        let rate = self.values.get("learning_rate")?;
        Some(format!("learning rate {}", figures::value(*rate)))
    }

    /// The other numbers: `temperature student 0.2000`.
    pub fn others(&self) -> Vec<String> {
        let others = self.values.iter();
        others
            .filter(|(name, _)| {
                let name = name.as_str();
                !["loss", "learning_rate"].contains(&name)
                    && ACCURACIES.iter().all(|(accuracy, _)| *accuracy != name)
            })
            .map(|(name, value)| format!("{} {}", name.replace('_', " "), figures::value(*value)))
            .collect()
    }

    /// `waits 3 % for rendering`.
    pub fn waiting(&self) -> Option<String> {
        let share = self.waiting_share?;
        Some(format!(
            "waits {:.0} % for {}",
            share * 100.0,
            self.waiting_for
        ))
    }

    /// All of it in a line: `hashing: 1,024 of 12,000 images, 211/s, 52.0 s left, loss 1.2000`.
    pub fn text(&self) -> String {
        let label = match self.label.is_empty() {
            true => String::new(),
            false => format!("{}: ", self.label),
        };
        let note = (!self.note.is_empty()).then(|| self.note.clone());
        let amount = Some(self.amount()).filter(|amount| !amount.is_empty());
        let parts: Vec<String> = [
            amount,
            self.rate(),
            self.left(),
            self.epoch(),
            self.loss(),
            self.accuracy(),
            self.learning_rate(),
            note,
            self.waiting(),
        ]
        .into_iter()
        .flatten()
        .collect();
        format!("{label}{}", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_work(done: u64) -> Work {
        let mut work = Work::default();
        work.begin("", "images", 12_000, 1_000, 5.0);
        work.advance(done - 1_000, 15.0);
        work.refresh(15.0);
        work
    }

    #[test]
    fn a_line_of_progress_has_rate_and_time_left() {
        let mut work = at_work(3_000);
        assert_eq!(work.text(), "3,000 of 12,000 images, 200/s, 45.0 s left");
        work.label = "hashing".to_owned();
        work.note = "half of it".to_owned();
        work.total = 0;
        work.refresh(15.0);
        assert_eq!(work.text(), "hashing: 3,000 images, 200/s, half of it");
        work.unit = "bytes".to_owned();
        work.done = 3_001_000;
        work.refresh(15.0);
        assert_eq!(work.text(), "hashing: 3.0 MB, 300.0 kB/s, half of it");
        assert_eq!(at_work(1_000).text(), "1,000 of 12,000 images");
    }

    #[test]
    fn the_rate_is_of_the_last_seconds() {
        let mut work = Work::default();
        work.begin("", "images", 100_000, 0, 0.0);
        for second in 1..=60 {
            work.advance(10, f64::from(second));
        }
        for second in 61..=100 {
            work.advance(1_000, f64::from(second));
        }
        work.refresh(100.0);
        assert_eq!(work.rate().unwrap(), "1,000/s");
    }

    #[test]
    fn a_slow_work_keeps_its_rate_between_its_steps() {
        let mut work = Work::default();
        work.begin("", "images", 1_000, 0, 0.0);
        work.advance(64, 40.0);
        work.advance(64, 80.0);
        work.refresh(81.0);
        assert!((work.per_second - 64.0 / 41.0).abs() < 1e-9, "{work:?}");
    }

    #[test]
    fn training_shows_its_loss_its_rate_and_what_it_waits_for() {
        let mut work = at_work(3_000);
        for (step, loss) in [(1, 2.0), (2, 1.0)] {
            work.measured(&Measured {
                over: MeasuredOver::Step,
                step,
                epoch: Some(1),
                epochs: Some(10),
                split: "train",
                values: &[("loss", loss), ("learning_rate", 0.03), ("queue_fill", 0.5)],
            });
        }
        work.wait("rendering", Duration::from_secs(1));
        work.refresh(15.0);
        assert_eq!(
            work.text(),
            "3,000 of 12,000 images, 200/s, 45.0 s left, epoch 1 of 10, loss 1.9000, learning rate 0.0300, waits 10 % for rendering"
        );
        assert_eq!(work.values["loss"], 1.0);
        assert_eq!(work.others(), ["queue fill 0.5000"]);
    }
}
