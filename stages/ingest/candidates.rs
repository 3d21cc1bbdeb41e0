//! The images that may be ingested, in 52 bytes each; their sources are told again when they are
//! read again.

use std::collections::HashMap;

use anyhow::Result;
use rayon::prelude::*;
use seedpipe_artifact::Distinct;
use seedpipe_base::Refusal;

/// An image that may be ingested.
pub struct ImageCandidate {
    /// Index of its file or table, and its row there.
    place: [u32; 2],
    pub digest: [u8; 32],
    pub occurrence: u32,
    /// Index into the candidates' `classes`.
    pub class: u32,
    /// Index into the candidates' `splits`.
    pub split: u32,
}

/// What the images of a class have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Class {
    /// A class's name, or a number as text.
    pub label: Option<String>,
    /// Whether `label` is a name, which gets a number of its own.
    pub named: bool,
    pub label_name: Option<String>,
}

#[derive(Default)]
pub struct Candidates {
    /// In the order of paths and rows.
    pub all: Vec<ImageCandidate>,
    pub classes: Distinct<Class>,
    pub splits: Distinct<String>,
}

impl ImageCandidate {
    /// Its file or table, and its row there.
    pub fn place(&self) -> (usize, usize) {
        (self.place[0] as usize, self.place[1] as usize)
    }
}

impl Candidates {
    /// Appends an image. Fails beyond 2^32 files or rows.
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
            split: self.splits.index(split),
        });
        Ok(())
    }

    pub fn class(&self, candidate: &ImageCandidate) -> &Class {
        self.classes.value(candidate.class)
    }

    pub fn split(&self, candidate: &ImageCandidate) -> &str {
        self.splits.value(candidate.split)
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

    /// A number for every label that is a name: its place among the sorted names, or in the
    /// source's own list of them.
    pub fn class_numbers(&self, declared: Option<Vec<String>>) -> HashMap<String, i32> {
        if let Some(names) = declared {
            return names.into_iter().zip(0..).collect();
        }
        // Classes whose images were all left out have none.
        let mut occurs = vec![false; self.classes.values().len()];
        for candidate in &self.all {
            occurs[candidate.class as usize] = true;
        }
        let classes = self.classes.values().iter().zip(occurs);
        let names: std::collections::BTreeSet<&String> = classes
            .filter(|(class, occurs)| class.named && *occurs)
            .filter_map(|(class, _)| class.label.as_ref())
            .collect();
        names.into_iter().cloned().zip(0..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Class {
        Class {
            label: Some(name.to_owned()),
            named: true,
            label_name: Some(name.to_owned()),
        }
    }

    #[test]
    fn a_candidate_takes_no_more_than_its_index() {
        assert_eq!(size_of::<ImageCandidate>(), 52);
    }

    #[test]
    fn equal_images_are_numbered_in_the_order_of_the_listing() {
        let mut candidates = Candidates::default();
        for (row, digest) in [9u8, 3, 9, 9, 0, 3].into_iter().enumerate() {
            candidates
                .push((0, row), [digest; 32], &class("a"), "train")
                .unwrap();
        }
        candidates.number_occurrences();
        let occurrences: Vec<u32> = candidates.all.iter().map(|one| one.occurrence).collect();
        assert_eq!(occurrences, [0, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn classes_without_images_have_no_number() {
        let mut candidates = Candidates::default();
        for (row, name) in ["pear", "fig", "apple"].into_iter().enumerate() {
            candidates
                .push((row, 0), [row as u8; 32], &class(name), "train")
                .unwrap();
        }
        candidates.all.remove(1);
        let numbers = candidates.class_numbers(None);
        assert_eq!(
            numbers,
            HashMap::from([("apple".to_owned(), 0), ("pear".to_owned(), 1)])
        );
        let declared = candidates.class_numbers(Some(vec!["fig".to_owned()]));
        assert_eq!(declared, HashMap::from([("fig".to_owned(), 0)]));
    }
}
