//! The known names that were meant by one that is mistyped or cut.

/// Names that are suggested at most.
const MOST: usize = 3;

/// "did you mean `x`?" when known names are near enough, the likeliest first.
///
/// Near is what differs in case and separators alone, else what goes on where the name ends, else
/// what few slips of the hand lead to.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = meant(name, known);
    let (last, others) = near.split_last()?;
    Some(match others {
        [] => format!("did you mean `{last}`?"),
        others => format!("did you mean {} or `{last}`?", list(others)),
    })
}

/// "did you mean `x`?", or the list of what there is.
pub fn hint_or_list(name: &str, what: &str, known: &[&str]) -> String {
    hint(name, known.iter().copied()).unwrap_or_else(|| match known {
        [] => format!("there are no {what}"),
        known => format!("{what}: {}", list(known)),
    })
}

/// `` `a`, `b` ``.
pub fn list<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}

fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = folded(name);
    let slips = (name.chars().count() / 3).max(1);
    let mut near: Vec<((usize, usize), &str)> = known
        .into_iter()
        .filter_map(|known| {
            let folded = folded(known);
            // Insertions, deletions, substitutions and swaps of neighbours.
            let edits = strsim::osa_distance(&name, &folded);
            let goes_on = name.chars().count() >= 3 && folded.starts_with(&name);
            let rank = match (edits, goes_on) {
                (0, _) => (0, 0),
                (edits, true) => (1, edits),
                (edits, _) if edits <= slips => (2, edits),
                _ => return None,
            };
            Some((rank, known))
        })
        .collect();
    near.sort_by_key(|(rank, _)| *rank);
    let Some(((best, _), _)) = near.first().copied() else {
        return Vec::new();
    };
    let most = if best == 1 { MOST } else { 1 };
    let near = near.into_iter().take_while(|((rank, _), _)| *rank == best);
    near.map(|(_, known)| known).take(most).collect()
}

/// What remains of a name without case and separators.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| !"-_. ".contains(*letter));
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let kinds = ["ingest", "augment", "encode", "distill"];
        for (name, hinted) in [
            ("distil", Some("did you mean `distill`?")),
            ("agument", Some("did you mean `augment`?")),
            ("Encode", Some("did you mean `encode`?")),
            ("probe", None),
            ("", None),
        ] {
            assert_eq!(hint(name, kinds).as_deref(), hinted, "{name}");
        }
        assert_eq!(
            hint_or_list("probe", "kinds", &kinds),
            "kinds: `ingest`, `augment`, `encode`, `distill`"
        );
        assert_eq!(hint_or_list("probe", "kinds", &[]), "there are no kinds");
    }

    #[test]
    fn a_cut_name_means_what_goes_on_before_what_differs() {
        let networks = [
            "mobilenet_v2",
            "mobilenet_v3_large",
            "mobilenet_v3_small",
            "resnet18",
            "resnet50",
        ];
        for (name, hinted) in [
            (
                "mobilenetv3",
                "did you mean `mobilenet_v3_large` or `mobilenet_v3_small`?",
            ),
            ("MobileNet-V2", "did you mean `mobilenet_v2`?"),
            ("mobilnet_v2", "did you mean `mobilenet_v2`?"),
            ("ResNet 50", "did you mean `resnet50`?"),
        ] {
            assert_eq!(hint(name, networks).as_deref(), Some(hinted), "{name}");
        }
    }
}
