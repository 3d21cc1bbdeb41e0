//! What an interrupted run left of a stage: how far its work is, from where the next run goes on.
//! Read without changing anything, and without hashing what is finished.

use std::fmt;
use std::path::Path;

use fs_err as fs;
use seedpipe_base::text::count;
use serde::{Deserialize, Serialize};

use crate::base::untrusted;
use crate::cache::draft::records::shards_in;
use crate::cache::draft::{About, CHECKPOINTS};

/// How far a stage's work is, as the stage says after a checkpoint.
pub(crate) const REACHED: &str = "reached.json";

/// Beginning of the name of the folder in a draft that an artifact is fetched into.
pub(crate) const FETCHED: &str = "fetched-";

/// How far work is, in one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// `shard`, or as the stage calls it: `epoch`, `step`.
    pub unit: String,
    pub done: u64,
    pub total: u64,
}

impl Reached {
    pub fn new(unit: &str, done: u64, total: u64) -> Self {
        Reached {
            unit: unit.to_owned(),
            done,
            total,
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, done, total) = (&self.unit, count(self.done), count(self.total));
        match unit.as_str() {
            // Each may be finished before those in front of it.
            "shard" => write!(formatter, "{done} of {total} shards"),
            _ => write!(formatter, "{unit} {done} of {total}"),
        }
    }
}

/// What a run does with unfinished work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    GoesOn,
    /// A run that is alive works on it.
    AtWork,
    /// It is of another numerics class: what two made together would be the result of neither.
    OtherClass,
    /// A forced run takes nothing from one that was not.
    NotForced,
    /// This program can't tell the class that it would be done in.
    Unknown,
}

/// Unfinished work of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The numerics class that it was done in; empty: unknown.
    pub numerics: String,
    /// From where it goes on; empty where the stage doesn't say.
    pub reached: Vec<Reached>,
    pub next: Next,
}

impl Left {
    /// Of a draft's folder; `None` where nothing in it is worth keeping.
    ///
    /// - `numerics`: the class that a run would have; `None`: not known
    pub(crate) fn read(directory: &Path, numerics: Option<&str>, forced: bool) -> Option<Left> {
        let Some(about) = About::read(directory) else {
            return is_fetched(directory).then_some(Left {
                numerics: String::new(),
                reached: Vec::new(),
                next: Next::GoesOn,
            });
        };
        let shards = shards_in(directory).ok()?;
        let has_checkpoint = fs::read_dir(directory.join(CHECKPOINTS))
            .is_ok_and(|mut entries| entries.next().is_some());
        let mut reached = Vec::new();
        if let Some(total) = shards.sound.iter().map(|shard| shard.total).max() {
            let done = shards.sound.iter().filter(|shard| shard.total == total);
            reached.push(Reached::new("shard", done.count() as u64, total as u64));
        } else if !has_checkpoint {
            return None;
        }
        if has_checkpoint {
            let text =
                untrusted::read_text(&directory.join(REACHED), untrusted::MAXIMAL_RECORD).ok();
            let told: Option<Vec<Reached>> = text.and_then(|text| untrusted::from_json(&text).ok());
            reached.extend(told.unwrap_or_default());
        }
        Some(Left {
            next: match numerics {
                None => Next::Unknown,
                Some(class) if class != about.numerics => Next::OtherClass,
                Some(_) if forced && !about.forced => Next::NotForced,
                Some(_) => Next::GoesOn,
            },
            numerics: about.numerics,
            reached,
        })
    }

    /// `epoch 12 of 83, step 340 of 1,245`.
    pub fn place(&self) -> String {
        if self.reached.is_empty() {
            return "what is finished".to_owned();
        }
        let parts: Vec<String> = self.reached.iter().map(ToString::to_string).collect();
        parts.join(", ")
    }
}

/// Whether it is what an interrupted fetch left.
fn is_fetched(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name());
    names.any(|name| name.to_string_lossy().starts_with(FETCHED))
}

impl fmt::Display for Left {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, class) = (self.place(), &self.numerics);
        match self.next {
            Next::GoesOn => write!(formatter, "goes on from {place}"),
            Next::AtWork => write!(formatter, "a run is at work on it, and has kept {place}"),
            Next::OtherClass => write!(
                formatter,
                "begins anew: unfinished work ({place}) is of another numerics class, `{class}`"
            ),
            Next::NotForced => write!(
                formatter,
                "begins anew: unfinished work ({place}) was not forced"
            ),
            Next::Unknown => write!(
                formatter,
                "goes on from {place} in the numerics class `{class}`, else begins anew"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::draft::Draft;
    use crate::cache::manifest::tests::example;
    use crate::cache::store::Store;

    #[test]
    fn unfinished_work_says_from_where_it_goes_on_and_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path());
        let recipe = example().recipe;
        let draft = Draft::open(&store, &recipe, "student", false, "cpu a", &["views"]).unwrap();
        let directory = store.draft(recipe.fingerprint(), "cpu a");
        let told = |class, forced| {
            let left = Left::read(&directory, class, forced);
            left.map_or_else(|| "nothing".to_owned(), |left| left.to_string())
        };
        assert_eq!(told(Some("cpu a"), false), "nothing");
        fs::write(draft.checkpoints().join("step-9"), "x").unwrap();
        assert_eq!(told(Some("cpu a"), false), "goes on from what is finished");
        draft
            .keep_reached(&[
                Reached::new("epoch", 12, 83),
                Reached::new("step", 340, 1245),
            ])
            .unwrap();
        let place = "epoch 12 of 83, step 340 of 1,245";
        assert_eq!(told(Some("cpu a"), false), format!("goes on from {place}"));
        assert_eq!(
            told(Some("cpu b"), false),
            format!("begins anew: unfinished work ({place}) is of another numerics class, `cpu a`")
        );
        assert_eq!(
            told(Some("cpu a"), true),
            format!("begins anew: unfinished work ({place}) was not forced")
        );
        assert_eq!(
            told(None, false),
            format!("goes on from {place} in the numerics class `cpu a`, else begins anew")
        );
        // What is half-written or foreign is nothing.
        fs::write(directory.join(REACHED), "{\"unit\"").unwrap();
        fs::write(directory.join("shard-00000.json"), "{}").unwrap();
        assert_eq!(told(Some("cpu a"), false), "goes on from what is finished");
    }
}
