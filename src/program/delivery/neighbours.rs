//! The nearest of a stream of embeddings to one of them, by cosine.

/// Holds the best so far alone; `T` says which they are.
pub struct Nearest<T> {
    query: Vec<f32>,
    count: usize,
    /// Best first; of equal ones the earlier.
    best: Vec<(T, f32)>,
}

impl<T> Nearest<T> {
    pub fn to(query: Vec<f32>, count: usize) -> Self {
        Self {
            query,
            count,
            best: Vec::new(),
        }
    }

    /// `which` is asked only of what is kept.
    pub fn offer(&mut self, embedding: &[f32], which: impl FnOnce() -> T) {
        let similarity = cosine(&self.query, embedding);
        let place = self
            .best
            .partition_point(|(_, better)| *better >= similarity);
        if place < self.count {
            self.best.insert(place, (which(), similarity));
            self.best.truncate(self.count);
        }
    }

    pub fn best(&self) -> &[(T, f32)] {
        &self.best
    }
}

/// 0 when one of them is 0.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    let lengths = (product(a, a) * product(b, b)).sqrt();
    if lengths == 0.0 {
        return 0.0;
    }
    (product(a, b) / lengths) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_in_order() {
        let mut nearest = Nearest::to(vec![1.0, 0.0], 2);
        for (name, embedding) in [
            ("far", [0.0, 3.0]),
            ("near", [2.0, 1.0]),
            ("same", [5.0, 0.0]),
            ("same too", [7.0, 0.0]),
            ("nothing", [0.0, 0.0]),
        ] {
            nearest.offer(&embedding, || name);
        }
        assert_eq!(nearest.best(), [("same", 1.0), ("same too", 1.0)]);
    }
}
