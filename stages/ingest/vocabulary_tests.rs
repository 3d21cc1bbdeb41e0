use super::*;

fn list(names: &[&str]) -> Vec<ClassName> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    class_names(&names)
}

/// Images of (table, label, its name in a column).
fn candidates(rows: &[(usize, Label, Option<&str>)]) -> Candidates {
    let mut candidates = Candidates::default();
    for (row, (table, label, name)) in rows.iter().enumerate() {
        let class = Class {
            label: Some(label.clone()),
            name: name.map(str::to_owned),
        };
        let place = (*table, row);
        candidates
            .push(place, [row as u8; 32], &class, "train")
            .unwrap();
    }
    candidates
}

fn text(name: &str) -> Label {
    Label::Name((name.to_owned(), 0))
}

/// Notes, or the refusal.
fn agreed(rows: &[(usize, Label, Option<&str>)]) -> Result<Vec<String>, String> {
    let place = |candidate: &ImageCandidate| {
        let (table, row) = candidate.place();
        format!("{table} row {row}")
    };
    agreement(&candidates(rows), &place).map_err(|error| error.to_string())
}

fn joined(lists: &[&[&str]]) -> Result<(Vec<String>, bool), String> {
    let lists: Vec<(String, Vec<ClassName>)> = (0..)
        .zip(lists)
        .map(|(table, names)| (table.to_string(), list(names)))
        .collect();
    let lists = lists
        .iter()
        .map(|(table, list)| (table.as_str(), list.as_slice()));
    let (declared, note) = Declared::join(lists).map_err(|error| error.to_string())?;
    let names = declared.unwrap().names.into_iter().map(|(name, _)| name);
    Ok((names.collect(), note.is_some()))
}

#[test]
fn lists_of_classes_are_joined_by_name() {
    for (lists, names, is_told) in [
        (
            &[&["cat", "dog"][..], &["cat", "dog"]][..],
            "cat dog",
            false,
        ),
        (&[&["cat", "dog"], &["dog", "cat"]], "cat dog", true),
        (
            &[&["cat"], &["dog", "cat"], &["owl", "dog"]],
            "cat dog owl",
            true,
        ),
        (&[&["cat", "dog", "owl"], &["owl"]], "cat dog owl", true),
        (
            &[&["crane", "dog", "crane"], &["crane", "dog", "crane"]],
            "crane dog crane",
            false,
        ),
    ] {
        let (found, told) = joined(lists).unwrap();
        assert_eq!(
            (found.join(" "), told),
            (names.to_owned(), is_told),
            "{lists:?}"
        );
    }
    for lists in [
        [&["crane", "dog", "crane"][..], &["dog", "crane", "crane"]],
        [&["crane", "dog"], &["crane", "dog", "crane"]],
    ] {
        let message = joined(&lists).unwrap_err();
        assert!(
            message.starts_with("`0` and `1` number their classes differently, and have several"),
            "{message}"
        );
    }
}

#[test]
fn a_text_is_a_declared_class_or_objected_to() {
    let names = list(&["crane", "café", "crane"]);
    let (declared, _) = Declared::join([("a", names.as_slice())].into_iter()).unwrap();
    let declared = declared.unwrap();
    assert_eq!(declared.objection("café"), None);
    assert_eq!(
        declared.objection("crane").unwrap(),
        "is the name of several classes that `a` declares"
    );
    assert_eq!(
        declared.objection("cat").unwrap(),
        "is none of the classes that `a` declares"
    );
}

#[test]
fn what_tables_say_of_classes_must_agree() {
    let number = Label::Number;
    for rows in [
        &[(0, number(1), None), (1, number(1), None)][..],
        &[
            (0, number(1), Some("cat")),
            (0, number(1), None),
            (1, number(1), Some("cat")),
        ],
        &[
            (0, text("a"), Some("cat")),
            (1, text("b"), Some("cat")),
            (1, text("b"), None),
        ],
    ] {
        assert_eq!(agreed(rows), Ok(Vec::new()), "{rows:?}", rows = rows.len());
    }
    for (rows, start) in [
        (
            &[(0, text("cat"), None), (1, number(0), None)][..],
            "`1 row 1`: label 0 is a number without a name, but `0 row 0`: label `cat`\nhint: ",
        ),
        (
            &[(0, number(1), Some("cat")), (0, number(1), Some("dog"))],
            "`0 row 0`: label 1 is called `cat`, but `0 row 1`: label 1 is called `dog`\n",
        ),
        (
            &[(0, text("n1"), Some("cat")), (1, text("n1"), Some("dog"))],
            "`0 row 0`: label `n1` is called `cat`, but `1 row 1`: label `n1` is called `dog`\n",
        ),
        (
            &[(0, number(1), Some("cat")), (1, number(2), Some("cat"))],
            "`0 row 0`: label 1 is called `cat`, but `1 row 1`: label 2 is called `cat`\n",
        ),
        (
            &[(0, number(1), Some("cat")), (1, number(2), None)],
            "`1 row 1`: label 2 is a number without a name, but `0 row 0`: label 1 is called",
        ),
    ] {
        let message = agreed(rows).unwrap_err();
        assert!(message.starts_with(start), "{message}");
    }
    let two = [(0, number(1), Some("crane")), (0, number(2), Some("crane"))];
    assert_eq!(
        agreed(&two),
        Ok(vec!["2 classes are called `crane`".to_owned()])
    );
}

#[test]
fn names_are_numbered_as_declared_or_sorted_among_those_that_occur() {
    let mut found = candidates(&[
        (0, text("pear"), None),
        (0, text("fig"), None),
        (1, text("apple"), Some("Apple")),
        (1, text("apple"), None),
    ]);
    found.all.remove(1);
    let entries = |vocabulary: &Vocabulary| -> Vec<(Option<i32>, String)> {
        let classes = found.all.iter().map(|one| vocabulary.class(one).clone());
        classes
            .map(|(number, name)| (number, name.unwrap()))
            .collect()
    };
    let class = |number, name: &str| (Some(number), name.to_owned());
    assert_eq!(
        entries(&Vocabulary::of(&found, None)),
        [class(1, "pear"), class(0, "Apple"), class(0, "Apple")]
    );
    let names = list(&["pear", "plum", "apple"]);
    let (declared, _) = Declared::join([("a", names.as_slice())].into_iter()).unwrap();
    assert_eq!(
        entries(&Vocabulary::of(&found, declared.as_ref())),
        [class(0, "pear"), class(2, "Apple"), class(2, "Apple")]
    );
}
