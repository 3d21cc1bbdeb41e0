//! Random numbers keyed by what they are for: `(seed, kind, label, item)`, never a thread, a
//! position or the clock.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// A generator of its own for one item: equal arguments give equal numbers on every machine.
///
/// - `kind`: the stage's kind; `label`: what the numbers are for (`crop`, `initialisation`);
///   `item`: what they belong to (an image's digest and occurrence, a layer's name).
pub fn keyed_rng(seed: u64, kind: &str, label: &str, item: &[u8]) -> ChaCha8Rng {
    let mut hasher =
        blake3::Hasher::new_derive_key("seedpipe random numbers of one item, version 1");
    hasher.update(&seed.to_le_bytes());
    for part in [kind.as_bytes(), label.as_bytes(), item] {
        // The length comes first, so that no two different triples have the same bytes.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::Rng;

    use super::*;

    #[test]
    fn every_part_of_the_key_matters_and_nothing_else_does() {
        let first = |seed, kind, label, item: &[u8]| keyed_rng(seed, kind, label, item).next_u64();
        let reference = first(1, "augment", "crop", b"7");
        assert_eq!(reference, first(1, "augment", "crop", b"7"));
        for other in [
            first(2, "augment", "crop", b"7"),
            first(1, "augmentc", "rop", b"7"),
            first(1, "augment", "crop7", b""),
            first(1, "augment", "crop", b"8"),
        ] {
            assert_ne!(reference, other);
        }
    }

    #[test]
    fn the_numbers_never_move() {
        // Changing this value redraws every user's views and weights: it needs a version of every
        // kind.
        assert_eq!(
            keyed_rng(0, "kind", "label", b"item").next_u64(),
            PINNED_FIRST_NUMBER
        );
    }

    const PINNED_FIRST_NUMBER: u64 = 10_175_275_264_371_896_671;
}
