//! What was taken for what: the confusion matrix of stored predictions. The same for the terminal and for pages; no tensors.

use std::collections::BTreeMap;

use seedpipe_artifact::PredictionRow;
use serde::Serialize;

/// Counts of judged images by true and predicted class.
#[derive(Debug, PartialEq, Serialize)]
pub struct Confusion {
    pub classes: Vec<ConfusedClass>,
    /// `[true class][predicted class]`, in the order of `classes`.
    pub counts: Vec<Vec<u64>>,
}

/// A class as the images have it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfusedClass {
    pub label: i32,
    /// The label as text where it has no name.
    pub name: String,
}

/// One kind of mistake.
#[derive(Debug, PartialEq)]
pub struct Mistake<'a> {
    pub of: &'a str,
    pub taken_for: &'a str,
    pub count: u64,
    /// Of all images of the class.
    pub share: f64,
}

impl Confusion {
    /// Of the predictions whose label is known, by their best class.
    ///
    /// - `names`: of every class that there is; classes that occur and have none are added
    pub fn of(predictions: &[PredictionRow], names: &BTreeMap<i32, String>) -> Confusion {
        let pairs: Vec<(i32, i32)> = predictions
            .iter()
            .filter_map(|row| Some((row.label?, *row.classes.first()?)))
            .collect();
        let mut known = names.clone();
        for label in pairs.iter().flat_map(|&(label, best)| [label, best]) {
            known.entry(label).or_insert_with(|| label.to_string());
        }
        let place: BTreeMap<i32, usize> = known.keys().copied().zip(0..).collect();
        let mut counts = vec![vec![0; known.len()]; known.len()];
        for (label, best) in pairs {
            counts[place[&label]][place[&best]] += 1;
        }
        let class = |(label, name)| ConfusedClass { label, name };
        Confusion {
            classes: known.into_iter().map(class).collect(),
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
                        count,
                        share: count as f64 / all as f64,
                    });
                }
            }
        }
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
        mistakes
    }
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
                count: 2,
                share: 0.5
            }
        );
        assert_eq!((mistakes[1].of, mistakes[1].taken_for), ("cat", "dog"));
    }
}
