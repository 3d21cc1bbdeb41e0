//! Short forms for the refusals that several kinds share.

use std::fmt::Display;

use seedpipe_base::Refusal;
use seedpipe_learn::queue::Queue;

pub fn invalid(key: &str, expected: &str, got: impl Display, hint: &str) -> Refusal {
    Refusal::expected(expected, got).key(key).hint(hint)
}

pub fn at_least(key: &str, got: u64, least: u64) -> Result<(), Refusal> {
    if got >= least {
        Ok(())
    } else {
        Err(invalid(key, &format!("at least {least}"), got, "raise it"))
    }
}

pub fn positive(key: &str, got: f64) -> Result<(), Refusal> {
    if got > 0.0 && got.is_finite() {
        Ok(())
    } else {
        Err(invalid(key, "a number above 0", got, "raise it"))
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
    if got > 0.0 && got.is_finite() {
        Ok(())
    } else {
        Err(invalid(key, "a number above 0", got, hint))
    }
}

/// A queue takes whole batches.
pub fn check_queue(queue: usize, batch: usize) -> Result<(), Refusal> {
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
