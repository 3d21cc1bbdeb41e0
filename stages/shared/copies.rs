//! Images that are there more than once, byte for byte: in two classes, in two splits, or beside
//! themselves, as through a link.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use seedpipe_base::text::{NAMED, count, named};

/// What counts of an image.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Of its bytes.
    pub digest: &'a [u8; 32],
    /// Above 0 in all but the first of equal ones.
    pub occurrence: u32,
    /// Number and name; `None` without a label.
    pub class: Option<(i32, Option<&'a str>)>,
    pub split: &'a str,
}

/// A sentence on each kind of copies that there are.
///
/// - `images`: how many there are
/// - `image`: by its place among them
/// - `name`: where it lies; asked of few
///
/// # Errors
/// Those of `name`.
pub fn remarks<'a>(
    images: usize,
    image: impl Fn(usize) -> Seen<'a>,
    name: impl Fn(usize) -> Result<String>,
) -> Result<Vec<String>> {
    let mut pairs: [Vec<[usize; 2]>; 3] = Default::default();
    for group in groups(images, &image) {
        let class = differing(&group, |index| Some(image(index).class?.0));
        let split = differing(&group, |index| Some(image(index).split));
        let alike = (class, split) == (None, None);
        let alike = alike.then(|| [group[0], group[1]]);
        for (pairs, pair) in pairs.iter_mut().zip([class, split, alike]) {
            pairs.extend(pair);
        }
    }
    type Side = fn(Seen) -> Option<String>;
    let class: Side = |image| {
        let (number, name) = image.class?;
        Some(name.map_or_else(|| number.to_string(), str::to_owned))
    };
    let split: Side = |image| Some(image.split.to_owned());
    let kinds: [(&str, Side); 3] = [
        ("in more than one class", class),
        ("in more than one split", split),
        ("in more than one place", |_| None),
    ];
    let there = kinds
        .iter()
        .zip(&pairs)
        .filter(|(_, pairs)| !pairs.is_empty());
    there
        .map(|((what, side), pairs)| {
            let named_side = |&index: &usize| {
                let name = format!("`{}`", name(index)?);
                anyhow::Ok(match side(image(index)) {
                    None => name,
                    Some(side) => format!("{name} ({side})"),
                })
            };
            let equal = |pair: &[usize; 2]| {
                let sides: Result<Vec<String>> = pair.iter().map(named_side).collect();
                anyhow::Ok(sides?.join(" = "))
            };
            let first: Result<Vec<String>> = pairs.iter().take(NAMED).map(equal).collect();
            let verb = match pairs.len() {
                1 => "image lies",
                _ => "images lie",
            };
            Ok(format!(
                "{} {verb} {what}, byte for byte the same: {}",
                count(pairs.len() as u64),
                named(&first?, pairs.len())
            ))
        })
        .collect()
}

/// The places of equal images, in order.
fn groups<'a>(images: usize, image: impl Fn(usize) -> Seen<'a>) -> Vec<Vec<usize>> {
    let again = (0..images).filter(|&index| image(index).occurrence > 0);
    let again: BTreeSet<&[u8; 32]> = again.map(|index| image(index).digest).collect();
    let mut groups: BTreeMap<&[u8; 32], Vec<usize>> = BTreeMap::new();
    if !again.is_empty() {
        for index in (0..images).filter(|&index| again.contains(image(index).digest)) {
            groups.entry(image(index).digest).or_default().push(index);
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.retain(|group| group.len() > 1);
    groups.sort_unstable();
    groups
}

/// The first of a group that has the property, and the first that has another.
fn differing<T: PartialEq>(group: &[usize], of: impl Fn(usize) -> Option<T>) -> Option<[usize; 2]> {
    let mut known = group.iter().filter(|&&index| of(index).is_some());
    let &first = known.next()?;
    let &other = known.find(|&&index| of(index) != of(first))?;
    Some([first, other])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_by_what_they_differ_in() {
        // Content, class, split.
        let images = [
            (1, Some("cat"), "train"),
            (1, Some("dog"), "train"),
            (2, Some("cat"), "train"),
            (2, Some("cat"), "test"),
            (3, None, "train"),
            (3, None, "train"),
            (3, None, "train"),
            (4, Some("cat"), "test"),
            // Of one that a subset left out.
            (5, Some("cat"), "test"),
            (6, Some("cat"), "train"),
            (6, None, "train"),
        ];
        let digests: Vec<[u8; 32]> = images.iter().map(|(content, ..)| [*content; 32]).collect();
        let seen = |index: usize| Seen {
            digest: &digests[index],
            occurrence: match index {
                8 => 1,
                _ => digests[..index]
                    .iter()
                    .filter(|other| **other == digests[index])
                    .count() as u32,
            },
            class: images[index]
                .1
                .map(|name| (i32::from(name == "dog"), Some(name))),
            split: images[index].2,
        };
        let told = remarks(images.len(), seen, |index| Ok(format!("{index}.png"))).unwrap();
        assert_eq!(
            told,
            [
                "1 image lies in more than one class, byte for byte the same: `0.png` (cat) = `1.png` (dog)",
                "1 image lies in more than one split, byte for byte the same: `2.png` (train) = `3.png` (test)",
                "2 images lie in more than one place, byte for byte the same: `4.png` = `5.png`, `9.png` = `10.png`",
            ]
        );
        assert!(remarks(1, seen, |_| unreachable!()).unwrap().is_empty());
    }
}
