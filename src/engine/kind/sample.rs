//! A keyed sample of a stage's work: which groups of rows a rerun computes.

use crate::base::digest::Digest;

/// What part of its work a stage is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    percent: f64,
    key: Digest,
}

impl Sample {
    /// - `percent`: more than 0, at most 100
    /// - `key`: equal keys pick equal groups
    pub(crate) fn new(percent: f64, key: Digest) -> Self {
        Sample { percent, key }
    }

    /// Which of `groups` equal pieces of work to do, ascending; at least one where there is any.
    pub fn pick(&self, groups: usize) -> Vec<usize> {
        let wanted = (groups as f64 * self.percent / 100.0).ceil() as usize;
        let mut ranked: Vec<(Digest, usize)> = (0..groups)
            .map(|group| {
                let mut text = self.key.0.to_vec();
                text.extend((group as u64).to_le_bytes());
                (Digest::of(&text), group)
            })
            .collect();
        ranked.sort_unstable();
        let mut picked: Vec<usize> = ranked
            .into_iter()
            .take(wanted.clamp(1, groups.max(1)))
            .map(|(_, group)| group)
            .collect();
        picked.sort_unstable();
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_keyed_ascending_and_never_empty() {
        let sample = |percent, key: &[u8]| Sample::new(percent, Digest::of(key));
        assert_eq!(sample(10.0, b"a").pick(100).len(), 10);
        assert_eq!(sample(10.0, b"a").pick(100), sample(10.0, b"a").pick(100));
        assert_ne!(sample(10.0, b"a").pick(100), sample(10.0, b"b").pick(100));
        assert_eq!(sample(0.1, b"a").pick(5).len(), 1);
        assert_eq!(sample(100.0, b"a").pick(5), [0, 1, 2, 3, 4]);
        assert_eq!(sample(50.0, b"a").pick(0), [0_usize; 0]);
        assert!(sample(30.0, b"c").pick(50).is_sorted());
    }
}
