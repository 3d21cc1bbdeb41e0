//! Which images of one list are in another: by digest and occurrence, wherever they stand.

use polars::prelude::{Column, DataFrame, DataFrameJoinOps, NamedFrom, PolarsResult, Series};

/// An image: the digest of its encoded bytes, and which of several equal ones it is.
pub type ImageKey = ([u8; 32], u32);

/// The place of each image among earlier ones; `None` for new ones (the anti-join). Of equal keys
/// among the earlier ones the first counts.
///
/// # Shapes
/// - `now`: `[N]`, `before`: `[M]`, both below 2³²
/// - returns `[N]`
pub fn places_among(now: &[ImageKey], before: &[ImageKey]) -> Vec<Option<u32>> {
    joined(now, before).unwrap_or_else(|error| panic!("BUG: joining images: {error}"))
}

fn joined(now: &[ImageKey], before: &[ImageKey]) -> PolarsResult<Vec<Option<u32>>> {
    let left = table("place", now)?;
    let right = table("earlier", before)?;
    let keys = ["digest", "occurrence"];
    let both = left.left_join(&right, keys, keys)?;
    let places = both.column("place")?.u32()?;
    let earlier = both.column("earlier")?.u32()?;
    let mut found: Vec<Option<u32>> = vec![None; now.len()];
    for (place, earlier) in places.iter().zip(earlier.iter()) {
        if let (Some(place), Some(earlier)) = (place, earlier) {
            let known = &mut found[place as usize];
            *known = Some(known.map_or(earlier, |known| known.min(earlier)));
        }
    }
    Ok(found)
}

fn table(place: &str, images: &[ImageKey]) -> PolarsResult<DataFrame> {
    let places: Vec<u32> = (0..images.len() as u32).collect();
    let digests: Vec<&[u8]> = images.iter().map(|(digest, _)| digest.as_slice()).collect();
    let occurrences: Vec<u32> = images.iter().map(|(_, occurrence)| *occurrence).collect();
    DataFrame::new(
        images.len(),
        vec![
            Column::from(Series::new(place.into(), places)),
            Column::from(Series::new("digest".into(), digests)),
            Column::from(Series::new("occurrence".into(), occurrences)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_wherever_they_stand_and_new_ones_are_not() {
        let key = |first: u8, occurrence| {
            let mut digest = [0; 32];
            digest[0] = first;
            (digest, occurrence)
        };
        let before = [key(1, 0), key(2, 0), key(2, 1), key(1, 0)];
        let now = [key(3, 0), key(2, 1), key(1, 0), key(1, 1), key(2, 0)];
        assert_eq!(
            places_among(&now, &before),
            [None, Some(2), Some(0), None, Some(1)]
        );
        assert_eq!(places_among(&[], &before), []);
        assert_eq!(places_among(&now[..1], &[]), [None]);
    }
}
