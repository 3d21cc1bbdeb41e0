//! One vocabulary for all classes of a source, by name: which number and which name each has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use anyhow::{Result, bail};
use seedpipe_base::Refusal;

use super::candidates::{Candidates, Class, ImageCandidate, Label};
use super::names::composed;

/// A class's name, and how many classes before it in its table's list have the same: ImageNet has
/// two called `crane`.
pub type ClassName = (String, u32);

/// The classes that tables declare (Hugging Face's `ClassLabel`), in the order of their numbers.
pub struct Declared {
    names: Vec<ClassName>,
    /// The first table that declares them.
    table: String,
}

/// The names of a table's classes 0, 1, ….
pub fn class_names(list: &[String]) -> Vec<ClassName> {
    let mut earlier: HashMap<String, u32> = HashMap::new();
    let name = |name: &String| {
        let name = composed(name);
        let count = earlier.entry(name.clone()).or_default();
        *count += 1;
        (name, *count - 1)
    };
    list.iter().map(name).collect()
}

impl Declared {
    /// Joins the lists of tables by name: in the order of the first, and of those after it what it
    /// lacks. With what people should know of that.
    ///
    /// # Errors
    /// Where lists differ and a name is there twice, so that it isn't known which is which.
    pub fn join<'a>(
        lists: impl Iterator<Item = (&'a str, &'a [ClassName])>,
    ) -> Result<(Option<Declared>, Option<String>)> {
        let mut joined: Option<Declared> = None;
        let (mut first, mut remark) = (None, None);
        for (table, list) in lists {
            let (Some(joined), Some(first)) = (&mut joined, first) else {
                first = Some(list);
                joined = Some(Declared {
                    names: list.to_vec(),
                    table: table.to_owned(),
                });
                continue;
            };
            if list == first {
                continue;
            }
            let twin = joined.names.iter().chain(list).find(|(_, twin)| *twin > 0);
            if let Some((name, _)) = twin {
                bail!(
                    Refusal::failure(format!(
                        "`{}` and `{table}` number their classes differently, and have several called `{name}`",
                        joined.table
                    ))
                    .hint("give each class a name of its own, or the tables one order of classes")
                );
            }
            let known: BTreeSet<&ClassName> = joined.names.iter().collect();
            let new: Vec<ClassName> = list
                .iter()
                .filter(|name| !known.contains(name))
                .cloned()
                .collect();
            joined.names.extend(new);
            remark.get_or_insert_with(|| {
                format!(
                    "`{}` and `{table}` number their classes differently: they are joined by name, in the order of the first",
                    joined.table
                )
            });
        }
        Ok((joined, remark))
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.names.iter().map(|(name, _)| name)
    }

    /// Why a text is not the label of one of the classes, where it is not.
    pub fn objection(&self, text: &str) -> Option<String> {
        let what = match self.names().filter(|name| *name == text).count() {
            0 => "none of the classes",
            1 => return None,
            _ => "the name of several classes",
        };
        Some(format!("is {what} that `{}` declares", self.table))
    }
}

/// Number and name of every class of the candidates, by its index there.
pub struct Vocabulary(Vec<(Option<i32>, Option<String>)>);

impl Vocabulary {
    /// Names get their place among the declared ones, or among the sorted ones that occur: classes
    /// whose images were all left out have none. Numbers stay.
    pub fn of(candidates: &Candidates, declared: Option<&Declared>) -> Vocabulary {
        let classes = candidates.classes.values();
        let mut occurs = vec![false; classes.len()];
        for candidate in &candidates.all {
            occurs[candidate.class as usize] = true;
        }
        let occurring: BTreeSet<&ClassName> = classes
            .iter()
            .zip(occurs)
            .filter_map(|(class, occurs)| class.label.as_ref()?.name().filter(|_| occurs))
            .collect();
        let numbers: HashMap<&ClassName, i32> = match declared {
            Some(declared) => declared.names.iter().zip(0..).collect(),
            None => occurring.into_iter().zip(0..).collect(),
        };
        let named: HashMap<&Label, &String> = classes
            .iter()
            .filter_map(|class| Some((class.label.as_ref()?, class.name.as_ref()?)))
            .collect();
        let entry = |class: &Class| {
            let Some(label) = &class.label else {
                return (None, class.name.clone());
            };
            let name = named.get(label).copied();
            match label {
                Label::Number(number) => (Some(*number), name.cloned()),
                Label::Name(key) => (
                    numbers.get(key).copied(),
                    Some(name.unwrap_or(&key.0).clone()),
                ),
            }
        };
        Vocabulary(classes.iter().map(entry).collect())
    }

    /// Number and name of a candidate's class; `None` without a label.
    pub fn numbered(&self, candidate: &ImageCandidate) -> Option<(i32, Option<&str>)> {
        let (number, name) = self.class(candidate);
        Some(((*number)?, name.as_deref()))
    }

    /// Number and name of an image's class.
    pub fn class(&self, candidate: &ImageCandidate) -> &(Option<i32>, Option<String>) {
        &self.0[candidate.class as usize]
    }
}

/// Refuses what tables say of classes where they contradict each other, with both places; gives
/// what people should know. `place`: where a candidate is, for people.
pub fn agreement(
    candidates: &Candidates,
    place: &dyn Fn(&ImageCandidate) -> String,
) -> Result<Vec<String>> {
    let mut tables: Vec<Tables> = vec![Tables::new(); candidates.classes.values().len()];
    for candidate in &candidates.all {
        let tables = &mut tables[candidate.class as usize];
        tables.entry(candidate.place().0).or_insert(candidate);
    }
    let classes = candidates.classes.values().iter().zip(&tables);
    let said: Vec<Said> = classes
        .filter_map(|(class, tables)| {
            Some(Said {
                label: class.label.as_ref()?,
                name: class.name.as_deref(),
                first: tables.values().next()?,
                tables,
            })
        })
        .collect();
    let refuse = |[left, right]: [&Said; 2], hint: &str| {
        let [left, right] = [left, right].map(|said| format!("`{}`: {said}", place(said.first)));
        bail!(Refusal::failure(format!("{left}, but {right}")).hint(hint))
    };

    // A number says nothing to a name.
    let number = said.iter().find(|said| said.label.name().is_none());
    let name = said.iter().find(|said| said.label.name().is_some());
    if let (Some(number), Some(name)) = (number, name) {
        return refuse(
            [number, name],
            "write names in all tables, or the same numbers",
        );
    }
    // A label has one name.
    let mut names: HashMap<&Label, &Said> = HashMap::new();
    for one in said.iter().filter(|said| said.name.is_some()) {
        let first = names.entry(one.label).or_insert(one);
        if first.name != one.name {
            return refuse(
                [first, one],
                "correct one of them, or leave `label_name_column` out",
            );
        }
    }
    if name.is_some() {
        return Ok(Vec::new());
    }
    // Where numbers have names, they have them in every table.
    let tables = |has_name: bool| {
        let said = said.iter().filter(|said| said.name.is_some() == has_name);
        said.flat_map(|said| said.tables.keys().map(move |table| (*table, said)))
            .collect::<BTreeMap<usize, &Said>>()
    };
    let (named, mut bare) = (tables(true), tables(false));
    bare.retain(|table, _| !named.contains_key(table));
    if let (Some(bare), Some(named)) = (bare.values().next(), named.values().next()) {
        return refuse(
            [bare, named],
            "fill the names, or leave `label_name_column` out",
        );
    }
    // A name has one number, unless a table itself has two classes of that name.
    let mut numbers: BTreeMap<&str, Vec<&Said>> = BTreeMap::new();
    for one in &said {
        if let Some(name) = one.name {
            numbers.entry(name).or_default().push(one);
        }
    }
    let mut remarks = Vec::new();
    for (name, classes) in numbers {
        for pair in classes.windows(2) {
            let [left, right] = [pair[0], pair[1]];
            if !left
                .tables
                .keys()
                .any(|table| right.tables.contains_key(table))
            {
                return refuse(
                    [left, right],
                    "correct one of them, or leave `label_name_column` out",
                );
            }
            remarks.push(format!("{} classes are called `{name}`", classes.len()));
        }
    }
    remarks.dedup();
    Ok(remarks)
}

/// Tables by number, each with an image of its.
type Tables<'a> = BTreeMap<usize, &'a ImageCandidate>;

/// A label, and the name that a column gives it.
struct Said<'a> {
    label: &'a Label,
    name: Option<&'a str>,
    first: &'a ImageCandidate,
    tables: &'a Tables<'a>,
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.label, self.name) {
            (Label::Name((label, _)), None) => write!(formatter, "label `{label}`"),
            (Label::Name((label, _)), Some(name)) => {
                write!(formatter, "label `{label}` is called `{name}`")
            }
            (Label::Number(label), None) => {
                write!(formatter, "label {label} is a number without a name")
            }
            (Label::Number(label), Some(name)) => {
                write!(formatter, "label {label} is called `{name}`")
            }
        }
    }
}

#[cfg(test)]
#[path = "vocabulary_tests.rs"]
mod tests;
