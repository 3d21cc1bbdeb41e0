//! What the answers on labelled images are worth, each figure with its 95 % interval: the same for
//! stages that judge and for `evaluate`.

use seedpipe_engine::ChaCha8Rng;
use seedpipe_learn::bootstrap::{Interval, Statistic, intervals, share};
use seedpipe_learn::class_scores::resampled;
use seedpipe_learn::metrics::{Evaluation, evaluate_predictions};

/// An image that was judged.
pub struct JudgedImage {
    /// Of its bytes.
    pub digest: [u8; 32],
    pub class: u32,
    /// The best classes, at least one.
    pub ranked: Vec<u32>,
}

pub struct Scores {
    pub evaluation: Evaluation,
    pub figures: [Figure; 4],
}

/// A share from 0 to 1.
pub struct Figure {
    /// `top1`, `top5`, `balanced_accuracy` or `macro_f1`.
    pub name: &'static str,
    pub value: f64,
    pub interval: Interval,
}

/// Intervals hang on what the images are, neither on what files and classes are called nor on the
/// order.
///
/// - `places`: each class's place among those that are judged equal
pub fn scores(mut images: Vec<JudgedImage>, places: &[u32], rng: &ChaCha8Rng) -> Scores {
    let place = |class: u32| places[class as usize];
    images.sort_by_cached_key(|image| {
        let taken = image.ranked[0];
        let is_right = taken == image.class;
        (image.digest, place(image.class), is_right, place(taken))
    });
    let labels: Vec<i64> = images.iter().map(|image| image.class.into()).collect();
    let is_among = |most: usize| -> Vec<bool> {
        let of = |image: &JudgedImage| {
            image
                .ranked
                .iter()
                .take(most)
                .any(|one| *one == image.class)
        };
        images.iter().map(of).collect()
    };
    let (first, five) = (is_among(1), is_among(5));
    let taken = images.iter().map(|image| [image.class, image.ranked[0]]);
    let taken: Vec<[u32; 2]> = taken.collect();
    let classes = places.len();
    let statistics: [Statistic; 4] = [
        share(first),
        share(five),
        Box::new(|times| resampled(&taken, times, classes).balanced_accuracy),
        Box::new(|times| resampled(&taken, times, classes).macro_f1),
    ];
    let found = intervals(images.len(), &statistics, rng);
    let ranked: Vec<Vec<u32>> = images.iter().map(|image| image.ranked.clone()).collect();
    let evaluation = evaluate_predictions(&ranked, &labels, classes);
    let scores = evaluation.scores;
    let figure = |name, value, interval: usize| Figure {
        name,
        value,
        interval: found[interval],
    };
    Scores {
        figures: [
            figure("top1", evaluation.top1, 0),
            figure("top5", evaluation.top5, 1),
            figure("balanced_accuracy", scores.balanced_accuracy, 2),
            figure("macro_f1", scores.macro_f1, 3),
        ],
        evaluation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_engine::keyed_rng;

    /// 40 images of three classes; class 2 is never named.
    fn images(number: [u32; 3]) -> Vec<JudgedImage> {
        let images = (0..40u8).map(|image| JudgedImage {
            digest: [image; 32],
            class: number[usize::from(image % 8 / 5 + image % 8 / 7)],
            ranked: vec![number[usize::from(image % 3 / 2)], number[2]],
        });
        images.collect()
    }

    #[test]
    fn neither_order_nor_numbers_of_classes_change_a_figure_or_an_interval() {
        let rng = keyed_rng(1, "knn", "bootstrap", &[]);
        let told = |images: Vec<JudgedImage>, places: [u32; 3]| {
            let scores = scores(images, &places, &rng).figures;
            scores.map(|figure| (figure.name, figure.value, figure.interval))
        };
        let first = told(images([0, 1, 2]), [0, 1, 2]);
        let mut turned = images([2, 0, 1]);
        turned.reverse();
        assert_eq!(told(turned, [1, 2, 0]), first);
        for (name, value, Interval { low, high }) in first {
            assert!(low < value && value < high, "{name}: {low} {value} {high}");
        }
        assert!(
            first[0].1 > first[2].1,
            "the small classes are named wrongly"
        );
    }
}
