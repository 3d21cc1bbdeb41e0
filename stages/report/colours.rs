//! Colour and dashes of every network: the same wherever the page draws it.

use std::collections::BTreeMap;

use crate::report::html::drawing::COLOURS;
use crate::report::material::Catalogue;
use crate::report::networks::{Role, role};
use crate::shared::results::Results;

/// What the first network of a role looks like; no other network has these colours before all are
/// taken.
const FIRST: [(Role, usize); 3] = [
    (Role::Student, 0),
    (Role::Teacher, 1),
    (Role::Baseline, COLOURS - 1),
];

/// Stage → its number for [`line`](crate::report::html::drawing::line).
pub struct Colours<'a>(BTreeMap<&'a str, usize>);

impl<'a> Colours<'a> {
    /// Networks that were measured choose first, then those that were trained, then all else.
    pub fn of(material: &Catalogue<'a>, results: &Results) -> Colours<'a> {
        let measured = results.rows.iter();
        let measured = measured.filter_map(|row| material.source(&row.network));
        let (trained, others): (Vec<_>, Vec<_>) = material
            .stages()
            .partition(|source| source.training().is_some());
        let mut colours = BTreeMap::new();
        let mut free = (0..).filter(|number| {
            let firsts = FIRST.iter();
            *number >= COLOURS || !firsts.clone().any(|(_, first)| first == number)
        });
        let mut firsts = BTreeMap::from(FIRST);
        for source in measured.chain(trained).chain(others) {
            colours.entry(source.stage.as_str()).or_insert_with(|| {
                let first = firsts.remove(&role(material, source));
                first.or_else(|| free.next()).unwrap_or_default()
            });
        }
        Colours(colours)
    }

    pub fn number(&self, stage: &str) -> usize {
        self.0.get(stage).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::shared::results::results;

    #[test]
    fn the_first_of_a_role_has_its_colour_and_no_two_networks_look_alike() {
        let mut material = example::material();
        let more = (0..20).map(|number| example::finetune(&format!("own{number}"), 0.0, &[]));
        material.sources.extend(more);
        let material = material.catalogue();
        let results = results(&material.result_sources());
        let colours = Colours::of(&material, &results);
        let numbers = ["student", "teacher", "untrained"].map(|stage| colours.number(stage));
        assert_eq!(numbers, [0, 1, COLOURS - 1]);
        let all: std::collections::BTreeSet<usize> = colours.0.values().copied().collect();
        assert_eq!(all.len(), material.sources.len());
    }
}
