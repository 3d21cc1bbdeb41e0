//! How long a remote is waited for. It may say nothing for some time, and what comes must come at
//! some rate: a byte a second would keep a run for years.

use std::env;
use std::time::Duration;

/// In seconds: so long a remote may say nothing.
const VARIABLE: &str = "SEEDPIPE_REMOTE_PATIENCE";
const USUAL: Duration = Duration::from_secs(60);
/// Bytes a second that must come, taken over as long as the remote may say nothing.
const FLOOR: u64 = 1_000;

/// How long a remote may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience(pub Duration);

impl Patience {
    /// As the environment says.
    pub fn of_environment() -> Result<Self, String> {
        match env::var(VARIABLE) {
            Err(_) => Ok(Patience(USUAL)),
            Ok(text) => Self::parse(&text),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Patience(Duration::from_secs(seconds.into()))),
            _ => Err(format!(
                "{VARIABLE}: expected seconds, 1 or more, got `{}`",
                text.chars().take(40).collect::<String>()
            )),
        }
    }

    /// For sending a part of 8 MiB on a slow line, which is all that can be seen of it.
    pub fn for_a_part(self) -> Duration {
        self.0 * 10
    }

    /// Why a request was given up.
    pub fn silence(waited: Duration) -> String {
        format!("no answer for {} s ({VARIABLE})", waited.as_secs_f64())
    }

    pub fn flow(self) -> Flow {
        Flow {
            patience: self,
            waited: Duration::ZERO,
            bytes: 0,
        }
    }
}

/// What comes of one object.
pub(crate) struct Flow {
    patience: Patience,
    /// For the remote alone: not for a slow disk here.
    waited: Duration,
    bytes: u64,
}

impl Flow {
    /// Counts a piece.
    ///
    /// # Errors
    /// When too little came for too long.
    pub fn count(&mut self, bytes: usize, waited: Duration) -> Result<(), String> {
        self.bytes += bytes as u64;
        self.waited += waited;
        if self.waited < self.patience.0 {
            return Ok(());
        }
        let seconds = self.waited.as_secs_f64();
        if (self.bytes as f64) < FLOOR as f64 * seconds {
            return Err(format!(
                "too slow: {} bytes in {seconds:.0} s, expected {FLOOR} a second at least ({VARIABLE})",
                self.bytes
            ));
        }
        (self.bytes, self.waited) = (0, Duration::ZERO);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_slowly_is_given_up_and_pauses_are_not() {
        let second = Duration::from_secs(1);
        let minute = Patience(60 * second);
        let mut slow = minute.flow();
        let given_up = (1..=60).find(|_| slow.count(1, second).is_err());
        assert_eq!(given_up, Some(60));
        let mut paused = minute.flow();
        paused.count(100_000, 59 * second).unwrap();
        paused.count(0, second).unwrap();
        // What came before the pause is no credit for later.
        let message = paused.count(30_000, 60 * second).unwrap_err();
        assert_eq!(
            message,
            "too slow: 30000 bytes in 60 s, expected 1000 a second at least (SEEDPIPE_REMOTE_PATIENCE)"
        );
        let mut steady = minute.flow();
        assert!((0..1_000).all(|_| steady.count(1_000, second).is_ok()));
    }

    #[test]
    fn patience_is_a_number_of_seconds() {
        assert_eq!(Patience::parse(" 5 "), Ok(Patience(Duration::from_secs(5))));
        for wrong in ["", "0", "-1", "1.5", "a minute"] {
            assert!(
                Patience::parse(wrong)
                    .unwrap_err()
                    .contains("expected seconds")
            );
        }
    }
}
