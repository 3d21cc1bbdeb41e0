//! Scores in which every class counts the same, however many samples it has: balanced accuracy and
//! macro F1, as scikit-learn has them.

/// What is known of the samples of a class, and of those that were taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    pub labelled: u64,
    pub predicted: u64,
    /// Both.
    pub right: u64,
}

/// Scores of one evaluation, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScores {
    /// The mean of the classes' recalls, over classes that a sample has.
    pub balanced_accuracy: f64,
    /// The mean of the classes' F1, over classes that a sample has or was taken for.
    pub macro_f1: f64,
}

/// Standard errors by which the largest class must surpass the smallest to be larger by no chance.
const BEYOND_CHANCE: f64 = 3.0;
/// How many times as large it must be.
const IMBALANCED: f64 = 2.0;

/// How many times as many samples the largest class has as the smallest one that has any, where
/// classes are imbalanced: at least twice as many, and more than chance gives, which is three
/// standard errors of the difference of two counts.
pub fn imbalance(counts: &[ClassCounts]) -> Option<f64> {
    let samples = counts.iter().map(|counts| counts.labelled);
    let samples = samples.filter(|samples| *samples > 0);
    let (least, most) = (samples.clone().min()? as f64, samples.max()? as f64);
    let is_beyond_chance = most - least > BEYOND_CHANCE * (most + least).sqrt();
    (is_beyond_chance && most >= IMBALANCED * least).then(|| most / least)
}

/// Sums go from the smallest up, so that other numbers for the same classes change no bit.
///
/// - `counts`: by class; at least one sample
pub fn class_scores(counts: impl Iterator<Item = ClassCounts> + Clone) -> ClassScores {
    let recalls = counts.clone().filter(|class| class.labelled > 0);
    let recalls = recalls.map(|class| class.right as f64 / class.labelled as f64);
    let occurring = counts.filter(|class| class.labelled + class.predicted > 0);
    let f1 =
        occurring.map(|class| 2.0 * class.right as f64 / (class.labelled + class.predicted) as f64);
    ClassScores {
        balanced_accuracy: mean(recalls.collect()),
        macro_f1: mean(f1.collect()),
    }
}

fn mean(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of a resample.
///
/// - `taken`: of each sample its class, and the one that it was taken for
/// - `times`: how often each sample is in it
pub fn resampled(taken: &[[u32; 2]], times: &[u32], classes: usize) -> ClassScores {
    let mut counts = vec![ClassCounts::default(); classes];
    for (&[class, predicted], &times) in taken.iter().zip(times) {
        let times = u64::from(times);
        counts[class as usize].labelled += times;
        counts[predicted as usize].predicted += times;
        counts[class as usize].right += if class == predicted { times } else { 0 };
    }
    class_scores(counts.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::metrics::evaluate_predictions;
    use serde_json::Value;

    #[test]
    fn scores_are_scikit_learns_with_classes_absent_or_never_predicted() {
        let text = include_str!("../testdata/reference_evaluation.json");
        let reference: Value = serde_json::from_str(text).unwrap();
        let cases = reference["class_scores"].as_array().unwrap();
        assert!(cases.len() >= 4);
        for case in cases {
            let numbers =
                |name: &str| -> Vec<u32> { serde_json::from_value(case[name].clone()).unwrap() };
            let (labels, predicted) = (numbers("labels"), numbers("predicted"));
            let classes = case["classes"].as_u64().unwrap() as usize;
            let ranked: Vec<Vec<u32>> = predicted.iter().map(|&class| vec![class]).collect();
            let whole: Vec<i64> = labels.iter().map(|&label| label.into()).collect();
            let evaluation = evaluate_predictions(&ranked, &whole, classes);
            let pairs = labels.iter().zip(&predicted);
            let pairs: Vec<[u32; 2]> = pairs.map(|(&label, &taken)| [label, taken]).collect();
            let once = resampled(&pairs, &vec![1; pairs.len()], classes);
            assert_eq!(once, evaluation.scores);
            let near = |name: &str, value: f64| {
                let expected = case[name].as_f64().unwrap();
                assert!(
                    (value - expected).abs() < 1e-12,
                    "{name}: {value}, {expected}"
                );
            };
            near("balanced_accuracy", evaluation.scores.balanced_accuracy);
            near("macro_f1", evaluation.scores.macro_f1);
            near("accuracy", evaluation.top1);
        }
    }

    #[test]
    fn classes_are_imbalanced_where_one_is_twice_as_large_by_no_chance() {
        let of = |labelled: &[u64]| {
            let counts = labelled.iter().map(|&labelled| ClassCounts {
                labelled,
                ..ClassCounts::default()
            });
            imbalance(&counts.collect::<Vec<_>>())
        };
        for (samples, expected) in [
            (&[90, 10][..], Some(9.0)),
            (&[10, 0, 90], Some(9.0)),
            (&[100, 51], None),
            (&[13, 4, 8], None),
            (&[200, 100], Some(2.0)),
            (&[7], None),
            (&[], None),
        ] {
            assert_eq!(of(samples), expected, "{samples:?}");
        }
    }
}
