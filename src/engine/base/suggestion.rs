//! The nearest known name to one that was mistyped.

/// The candidate that most likely was meant, when one is near enough to be worth naming.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or the list of what there is.
pub(crate) fn hint_for(name: &str, what: &str, candidates: &[&str]) -> String {
    match nearest(name, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => format!("there are no {what}"),
        None => format!("{what}: {}", list(candidates)),
    }
}

/// `` `a`, `b` ``.
pub(crate) fn list<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<_> = names
        .iter()
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    quoted.join(", ")
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one name into the other,
/// in whatever case.
fn distance(left: &str, right: &str) -> usize {
    strsim::osa_distance(&left.to_lowercase(), &right.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let kinds = ["ingest", "augment", "encode", "distill"];
        assert_eq!(nearest("distil", kinds), Some("distill"));
        assert_eq!(nearest("agument", kinds), Some("augment"));
        assert_eq!(nearest("Encode", kinds), Some("encode"));
        assert_eq!(nearest("probe", kinds), None);
        assert_eq!(
            hint_for("probe", "kinds", &kinds),
            "kinds: `ingest`, `augment`, `encode`, `distill`"
        );
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
