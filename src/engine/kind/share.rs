//! A part of a stage's shards, for one of several processes that work on it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The `index`-th of `count` parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    index: usize,
    count: usize,
}

impl Share {
    /// Everything.
    pub const WHOLE: Share = Share { index: 0, count: 1 };

    /// `None` unless `index` is below `count`.
    pub fn new(index: usize, count: usize) -> Option<Share> {
        (index < count).then_some(Share { index, count })
    }

    /// All `count` of them.
    pub fn all(count: usize) -> impl Iterator<Item = Share> + Clone {
        (0..count).map(move |index| Share { index, count })
    }

    pub fn index(self) -> usize {
        self.index
    }

    /// Which of `total` shards it holds: neighbours, so that they are read one after the other. Sizes
    /// differ by one at most.
    pub fn of(self, total: usize) -> Range<usize> {
        let begin = |index: usize| (index as u128 * total as u128 / self.count as u128) as usize;
        begin(self.index)..begin(self.index + 1)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Share {
    type Err = String;

    /// `I/N`, counted from 0.
    fn from_str(text: &str) -> Result<Share, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        numbers
            .and_then(|(index, count)| Share::new(index, count))
            .ok_or_else(|| {
                format!("expected I/N with I from 0 to N - 1, such as `0/4`, got `{text}`")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_all_shards_once_and_nearly_equal() {
        for (total, count) in [(48, 8), (7, 3), (2, 5), (0, 4), (1, 1)] {
            let shares = Share::all(count).map(|share| share.of(total));
            let sizes: Vec<usize> = shares.clone().map(|share| share.len()).collect();
            assert_eq!(
                shares.flatten().collect::<Vec<_>>(),
                (0..total).collect::<Vec<_>>()
            );
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
        assert_eq!(Share::WHOLE.of(5), 0..5);
    }

    #[test]
    fn a_share_is_read_as_it_is_written() {
        assert_eq!("2/4".parse(), Ok(Share { index: 2, count: 4 }));
        for wrong in ["4/4", "1", "a/2", "0/0", "-1/2"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
