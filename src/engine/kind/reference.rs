//! How stages are named: `stage`, `stage.output`, and for those of a `matrix:`
//! `stage[width=2,lr=0.3]`, or with fewer values for all combinations that have these.

/// A name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Everything before the output.
    pub stage: &'a str,
    /// The stage as it is called in pipeline.yaml, without `[…]`.
    pub base: &'a str,
    /// What stands between the brackets: (label, value), as written.
    pub picks: Vec<(&'a str, &'a str)>,
    pub output: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Takes any text apart; one that follows no rule is the name of a stage that doesn't exist.
    pub fn parse(text: &'a str) -> Self {
        let plain = |stage, output| Reference {
            stage,
            base: stage,
            picks: Vec::new(),
            output,
        };
        let Some(open) = text.find('[') else {
            return match text.split_once('.') {
                Some((stage, output)) => plain(stage, Some(output)),
                None => plain(text, None),
            };
        };
        let Some(close) = text[open..].find(']').map(|length| open + length) else {
            return plain(text, None);
        };
        let picks = text[open + 1..close].split(',').map(|pick| {
            let (label, value) = pick.split_once('=')?;
            Some((label.trim(), value.trim()))
        });
        let output = match text[close + 1..].strip_prefix('.') {
            Some(output) => Some(output),
            None if close + 1 == text.len() => None,
            None => return plain(text, None),
        };
        match picks.collect::<Option<Vec<_>>>() {
            Some(picks) => Reference {
                stage: &text[..=close],
                base: &text[..open],
                picks,
                output,
            },
            None => plain(text, None),
        }
    }

    /// Whether a stage of this name and combination is meant. `0.30` is `0.3`.
    pub(crate) fn means(&self, base: &str, combination: &[(String, String)]) -> bool {
        self.base == base
            && self.picks.iter().all(|(label, value)| {
                combination
                    .iter()
                    .any(|(known, text)| known == label && is_same(text, value))
            })
    }
}

fn is_same(text: &str, value: &str) -> bool {
    text == value
        || match (text.parse::<f64>(), value.parse::<f64>()) {
            (Ok(left), Ok(right)) => left == right,
            _ => false,
        }
}

/// `stage[width=2,lr=0.3]`, or `stage` alone when there is no combination.
pub(crate) fn name_of(base: &str, combination: &[(String, String)]) -> String {
    if combination.is_empty() {
        return base.to_owned();
    }
    let values: Vec<String> = combination
        .iter()
        .map(|(label, text)| format!("{label}={text}"))
        .collect();
    format!("{base}[{}]", values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let reference = Reference::parse("student[width=2, lr=0.3].metrics");
        assert_eq!(reference.stage, "student[width=2, lr=0.3]");
        assert_eq!(reference.base, "student");
        assert_eq!(reference.picks, [("width", "2"), ("lr", "0.3")]);
        assert_eq!(reference.output, Some("metrics"));
        let plain = Reference::parse("student.metrics");
        assert_eq!(
            (plain.stage, plain.base, plain.output),
            ("student", "student", Some("metrics"))
        );
        for odd in ["student[", "student[]", "student[a=1]x", "student[a]", "]["] {
            let reference = Reference::parse(odd);
            assert_eq!(
                (reference.stage, reference.base, reference.output),
                (odd, odd, None),
                "{odd}"
            );
        }
    }

    #[test]
    fn some_values_mean_all_combinations_that_have_them() {
        let combination = [
            ("width".to_owned(), "2".to_owned()),
            ("lr".to_owned(), "0.3".to_owned()),
        ];
        assert_eq!(name_of("s", &combination), "s[width=2,lr=0.3]");
        for (text, meant) in [
            ("s", true),
            ("s[width=2]", true),
            ("s[lr=0.30,width=2]", true),
            ("s[lr=0.1]", false),
            ("s[depth=2]", false),
            ("t[width=2]", false),
        ] {
            assert_eq!(
                Reference::parse(text).means("s", &combination),
                meant,
                "{text}"
            );
        }
    }
}
