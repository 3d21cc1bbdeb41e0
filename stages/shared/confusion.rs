//! What was taken for what: the confusion matrix of stored predictions. The same for the terminal
//! and for pages; no tensors.

use std::collections::BTreeMap;

use seedpipe_artifact::PredictionRow;
use serde::Serialize;

/// Counts of judged images by true and predicted class; pairs that never occur take no room.
#[derive(Debug, PartialEq)]
pub struct Tally {
    /// Label → name of every class, no two alike: the label as text where a class has no name.
    pub names: BTreeMap<i32, String>,
    /// (true label, predicted label) → images.
    pub counts: BTreeMap<(i32, i32), u64>,
}

/// A tally with a place for every pair of classes.
#[derive(Debug, PartialEq, Serialize)]
pub struct Confusion {
    pub classes: Vec<Class>,
    /// `[true class][predicted class]`, in the order of `classes`.
    pub counts: Vec<Vec<u64>>,
}

/// A class as the images have it. Whatever leaves says classes by these, never by the number of a
/// network's output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    pub label: i32,
    /// The label as text where it has no name.
    pub name: String,
}

/// One kind of mistake.
#[derive(Debug, PartialEq)]
pub struct Mistake<'a> {
    pub of: &'a str,
    pub taken_for: &'a str,
    /// Of both.
    pub labels: (i32, i32),
    pub count: u64,
    /// Of all images of the class.
    pub share: f64,
}

/// The names, followed by the label where several classes are called the same: ImageNet has two
/// that are called `crane`.
pub fn told_apart(names: &BTreeMap<i32, String>) -> BTreeMap<i32, String> {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names.values() {
        *classes.entry(name).or_default() += 1;
    }
    let names = names.iter().map(|(&label, name)| {
        let told = match classes[name.as_str()] {
            1 => name.clone(),
            _ => format!("{name} ({label})"),
        };
        (label, told)
    });
    names.collect()
}

impl Tally {
    /// Of the predictions whose label is known, by their best class.
    ///
    /// - `names`: of every class that there is; classes that occur and have none are added
    pub fn of(predictions: &[PredictionRow], names: &BTreeMap<i32, String>) -> Tally {
        let mut known = names.clone();
        let mut counts = BTreeMap::new();
        for row in predictions {
            let (Some(label), Some(&best)) = (row.label, row.classes.first()) else {
                continue;
            };
            for class in [label, best] {
                known.entry(class).or_insert_with(|| class.to_string());
            }
            *counts.entry((label, best)).or_default() += 1;
        }
        Tally {
            names: told_apart(&known),
            counts,
        }
    }

    /// Label → its judged images.
    pub fn images(&self) -> BTreeMap<i32, u64> {
        let mut images = BTreeMap::new();
        for ((label, _), count) in &self.counts {
            *images.entry(*label).or_default() += count;
        }
        images
    }

    /// The mistakes, the most frequent first; equal counts in the order of the classes.
    pub fn mistakes(&self) -> Vec<Mistake<'_>> {
        let images = self.images();
        let wrong = self.counts.iter().filter(|((of, taken), _)| of != taken);
        let mistakes = wrong.map(|(&(of, taken), &count)| Mistake {
            of: &self.names[&of],
            taken_for: &self.names[&taken],
            labels: (of, taken),
            count,
            share: count as f64 / images[&of] as f64,
        });
        by_count(mistakes.collect())
    }
}

impl Confusion {
    /// As [`Tally::of`].
    pub fn of(predictions: &[PredictionRow], names: &BTreeMap<i32, String>) -> Confusion {
        let tally = Tally::of(predictions, names);
        let place: BTreeMap<i32, usize> = tally.names.keys().copied().zip(0..).collect();
        let mut counts = vec![vec![0; place.len()]; place.len()];
        for ((label, best), count) in tally.counts {
            counts[place[&label]][place[&best]] = count;
        }
        let class = |(label, name)| Class { label, name };
        Confusion {
            classes: tally.names.into_iter().map(class).collect(),
            counts,
        }
    }

    /// The mistakes, the most frequent first; equal counts in the order of the classes.
    pub fn mistakes(&self) -> Vec<Mistake<'_>> {
        let mut mistakes = Vec::new();
        for (class, row) in self.classes.iter().zip(&self.counts) {
            let all: u64 = row.iter().sum();
            for (other, &count) in self.classes.iter().zip(row) {
                if other.label != class.label && count > 0 {
                    mistakes.push(Mistake {
                        of: &class.name,
                        taken_for: &other.name,
                        labels: (class.label, other.label),
                        count,
                        share: count as f64 / all as f64,
                    });
                }
            }
        }
        by_count(mistakes)
    }
}

fn by_count(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
    mistakes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: Option<i32>, classes: &[i32]) -> PredictionRow {
        PredictionRow {
            image_id: 0,
            label,
            classes: classes.to_vec(),
            probabilities: vec![0.5; classes.len()],
        }
    }

    #[test]
    fn counts_by_hand() {
        let names = BTreeMap::from([(3, "cat".to_owned()), (7, "dog".to_owned())]);
        let predictions = [
            row(Some(3), &[3, 7]),
            row(Some(3), &[7, 3]),
            row(Some(7), &[9, 7]),
            row(Some(3), &[9]),
            row(Some(3), &[9]),
            row(None, &[3]),
            row(Some(7), &[]),
        ];
        let confusion = Confusion::of(&predictions, &names);
        let classes: Vec<&str> = confusion
            .classes
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        assert_eq!(classes, ["cat", "dog", "9"]);
        assert_eq!(confusion.counts, [[1, 1, 2], [0, 0, 1], [0, 0, 0]]);
        let mistakes = confusion.mistakes();
        assert_eq!(mistakes.len(), 3);
        assert_eq!(
            mistakes[0],
            Mistake {
                of: "cat",
                taken_for: "9",
                labels: (3, 9),
                count: 2,
                share: 0.5
            }
        );
        assert_eq!((mistakes[1].of, mistakes[1].taken_for), ("cat", "dog"));
    }

    #[test]
    fn a_tally_counts_what_the_matrix_does() {
        let names = BTreeMap::from([(3, "cat".to_owned()), (7, "dog".to_owned())]);
        let predictions = [
            row(Some(3), &[7]),
            row(Some(3), &[3]),
            row(Some(7), &[9]),
            row(Some(3), &[7]),
        ];
        let tally = Tally::of(&predictions, &names);
        assert_eq!(
            tally.counts,
            BTreeMap::from([((3, 3), 1), ((3, 7), 2), ((7, 9), 1)])
        );
        assert_eq!(tally.images(), BTreeMap::from([(3, 3), (7, 1)]));
        let confusion = Confusion::of(&predictions, &names);
        assert_eq!(tally.mistakes(), confusion.mistakes());
    }

    #[test]
    fn classes_of_one_name_are_told_apart() {
        let names = [(134, "crane"), (517, "crane"), (3, "cat")];
        let names = names.map(|(label, name)| (label, name.to_owned())).into();
        let tally = Tally::of(&[row(Some(134), &[517])], &names);
        let mistakes = tally.mistakes();
        assert_eq!(
            (mistakes[0].of, mistakes[0].taken_for),
            ("crane (134)", "crane (517)")
        );
        assert_eq!(tally.names[&3], "cat");
        assert_eq!(told_apart(&tally.names), tally.names);
    }
}
