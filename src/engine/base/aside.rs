//! Work that takes a while where no observer is at hand: hashing of sources, what a command does
//! beside any run. Whoever shows progress listens; where nobody does, nothing is told.

use std::sync::{Arc, Mutex, PoisonError};

/// What happens to such work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Of `total` `unit`s; 0: unknown.
    Begins {
        unit: &'a str,
        total: u64,
    },
    /// So many more units are done.
    Advances(u64),
    Ends,
}

type Tell = Arc<dyn Fn(&str, Step) + Send + Sync>;

static TELL: Mutex<Option<Tell>> = Mutex::new(None);

/// From now on `tell` hears of such work, by its name.
pub fn tell_by(tell: impl Fn(&str, Step) + Send + Sync + 'static) {
    *TELL.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(tell));
}

/// Work that goes on until it is dropped.
pub struct Aside {
    name: &'static str,
    /// Whoever listened when it began.
    tell: Option<Tell>,
}

impl Aside {
    /// - `name`: what is done, for people: `hashing`
    /// - `unit`: `images`, `bytes` …; empty where nothing is counted
    /// - `total`: 0: unknown
    pub fn begin(name: &'static str, unit: &str, total: u64) -> Aside {
        let tell = TELL.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let aside = Aside { name, tell };
        aside.tell(Step::Begins { unit, total });
        aside
    }

    /// `count` more units are done.
    pub fn advance(&self, count: u64) {
        self.tell(Step::Advances(count));
    }

    fn tell(&self, step: Step) {
        if let Some(tell) = &self.tell {
            tell(self.name, step);
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.tell(Step::Ends);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_told_from_its_beginning_to_its_end() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = told.clone();
        tell_by(move |name, step| {
            if name == "testing" {
                hears.lock().unwrap().push(format!("{step:?}"));
            }
        });
        Aside::begin("testing", "images", 3).advance(2);
        let expected = [
            "Begins { unit: \"images\", total: 3 }",
            "Advances(2)",
            "Ends",
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
