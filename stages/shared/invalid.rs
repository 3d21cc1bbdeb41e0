//! Short forms for the refusals that several kinds share.

use std::fmt::Display;

use seedpipe_base::Refusal;
use seedpipe_learn::queue::Queue;

pub fn invalid(key: &str, expected: &str, got: impl Display, hint: &str) -> Refusal {
    Refusal::expected(expected, got).key(key).hint(hint)
}

/// What is counted, and the most of it that anyone means: a larger number is a slip of the hand,
/// whatever the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Epochs, iterations, minutes: what takes its time.
    Rounds,
    /// Images, views or rows that are held at once.
    AtOnce,
    /// Rows of a memory: a queue, prototypes, clusters.
    Rows,
    Threads,
    /// Of an image.
    Pixels,
}

impl Counted {
    fn most(self) -> u64 {
        match self {
            Counted::Rounds => 1_000_000,
            Counted::AtOnce => 1 << 20,
            Counted::Rows => 1 << 26,
            Counted::Threads => 1024,
            Counted::Pixels => 10_000_000_000,
        }
    }

    fn hint(self, is_above: bool) -> String {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        match (self, is_above) {
            (_, false) => "raise it".to_owned(),
            (Counted::Threads, true) => format!("this machine has {threads}"),
            (_, true) => "lower it".to_owned(),
        }
    }
}

/// A number of what is counted, from `least` on.
pub fn count(key: &str, got: u64, least: u64, of: Counted) -> Result<(), Refusal> {
    let most = of.most();
    if (least..=most).contains(&got) {
        return Ok(());
    }
    let expected = format!("{least} to {most}");
    Err(invalid(key, &expected, got, &of.hint(got > most)))
}

pub fn positive(key: &str, got: f64) -> Result<(), Refusal> {
    if got > 0.0 && got.is_finite() {
        Ok(())
    } else {
        Err(invalid(key, "a number above 0", got, "raise it"))
    }
}

/// The largest divisor that anyone means, and one over the smallest.
const FAR: f64 = 1e6;

/// Without hundreds of digits.
fn in_short(number: f64) -> String {
    match number == 0.0 || (1e-9..1e16).contains(&number.abs()) {
        true => number.to_string(),
        false => format!("{number:e}"),
    }
}

/// A share between 0 and 1, both included.
pub fn fraction(key: &str, got: f64) -> Result<(), Refusal> {
    if (0.0..=1.0).contains(&got) {
        Ok(())
    } else {
        Err(invalid(
            key,
            "a number from 0 to 1",
            got,
            "give a share, not per cent",
        ))
    }
}

/// A divisor of similarities; `hint` names the usual value.
pub fn temperature(key: &str, got: f64, hint: &str) -> Result<(), Refusal> {
    if (1.0 / FAR..=FAR).contains(&got) {
        Ok(())
    } else {
        let expected = "a number from 0.000001 to 1000000";
        Err(invalid(key, expected, in_short(got), hint))
    }
}

/// A queue takes whole batches.
pub fn check_queue(queue: usize, batch: usize) -> Result<(), Refusal> {
    count("queue", queue as u64, 1, Counted::Rows)?;
    Queue::check_size(queue, batch).map_err(|_| {
        let above = queue.div_ceil(batch.max(1)).max(1) * batch;
        invalid(
            "queue",
            &format!("a multiple of the batch of {batch}"),
            queue,
            &format!("e.g. {above}"),
        )
    })
}
