//! The images that may be ingested, in 52 bytes each; their sources are told again when they are
//! read again.

use anyhow::Result;
use rayon::prelude::*;
use seedpipe_artifact::Distinct;
use seedpipe_base::Refusal;

use super::names::Names;
use super::vocabulary::ClassName;

/// An image that may be ingested.
pub struct ImageCandidate {
    /// Index of its file or table, and its row there.
    place: [u32; 2],
    pub digest: [u8; 32],
    pub occurrence: u32,
    /// Index into the candidates' `classes`, whose vocabulary has number and name.
    pub class: u32,
    /// Index into the candidates' `splits`.
    pub split: u32,
}

/// What a folder or a row says of an image's class.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Class {
    pub label: Option<Label>,
    /// What a column of names calls it.
    pub name: Option<String>,
}

/// What tells a class from others.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Label {
    /// Without a declared name.
    Number(i32),
    Name(ClassName),
}

impl Label {
    pub fn name(&self) -> Option<&ClassName> {
        match self {
            Label::Number(_) => None,
            Label::Name(name) => Some(name),
        }
    }
}

#[derive(Default)]
pub struct Candidates {
    /// In the order of paths and rows.
    pub all: Vec<ImageCandidate>,
    pub classes: Distinct<Class>,
    pub splits: Distinct<String>,
    pub class_names: Names,
    split_names: Names,
    /// What people should know of the source.
    pub remarks: Vec<String>,
}

impl ImageCandidate {
    /// Its file or table, and its row there.
    pub fn place(&self) -> (usize, usize) {
        (self.place[0] as usize, self.place[1] as usize)
    }
}

impl Candidates {
    /// Appends an image; `split` as it is written. Fails beyond 2^32 files or rows.
    pub fn push(
        &mut self,
        (file, row): (usize, usize),
        digest: [u8; 32],
        class: &Class,
        split: &str,
    ) -> Result<()> {
        let number = |value: usize| {
            u32::try_from(value).map_err(|_| {
                Refusal::failure(format!(
                    "expected fewer than 2^32 images, got one with the number {value}"
                ))
                .hint("ingest them by several stages")
            })
        };
        self.all.push(ImageCandidate {
            place: [number(file)?, number(row)?],
            digest,
            occurrence: 0,
            class: self.classes.index(class),
            split: self.splits.index(&self.split_names.key(split)),
        });
        Ok(())
    }

    /// The class that a name stands for.
    pub fn named(&mut self, name: &str) -> Label {
        Label::Name((self.class_names.key(name), 0))
    }

    pub fn split(&self, candidate: &ImageCandidate) -> &str {
        self.splits.value(candidate.split)
    }

    /// Adds what people should know of the names.
    pub fn remark_on_names(&mut self) {
        self.remarks.extend(self.class_names.remarks("class"));
        self.remarks.extend(self.split_names.remarks("split"));
    }

    /// Equal images are told apart by their number in the listing's order.
    pub fn number_occurrences(&mut self) {
        let mut order: Vec<u32> = (0..self.all.len() as u32).collect();
        let digest = |index: u32| self.all[index as usize].digest;
        order.par_sort_unstable_by(|&left, &right| {
            (digest(left), left).cmp(&(digest(right), right))
        });
        let mut last = None;
        for index in order {
            let candidate = &mut self.all[index as usize];
            candidate.occurrence = match last {
                Some((digest, occurrence)) if digest == candidate.digest => occurrence + 1,
                _ => 0,
            };
            last = Some((candidate.digest, candidate.occurrence));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_takes_no_more_than_its_index() {
        assert_eq!(size_of::<ImageCandidate>(), 52);
    }

    #[test]
    fn equal_images_are_numbered_in_the_order_of_the_listing() {
        let mut candidates = Candidates::default();
        for (row, digest) in [9u8, 3, 9, 9, 0, 3].into_iter().enumerate() {
            candidates
                .push((0, row), [digest; 32], &Class::default(), "train")
                .unwrap();
        }
        candidates.number_occurrences();
        let occurrences: Vec<u32> = candidates.all.iter().map(|one| one.occurrence).collect();
        assert_eq!(occurrences, [0, 0, 1, 2, 0, 1]);
    }
}
