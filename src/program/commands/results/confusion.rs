//! `metrics --confusion STAGE`: the confusion matrix of a stage's stored predictions, with the
//! images' class names.

use std::collections::BTreeMap;

use anyhow::Result;
use seedpipe_artifact::{ImagesReader, PREDICTIONS, PredictionsReader};
use seedpipe_base::Refusal;
use seedpipe_engine::Engine;
use seedpipe_stages::confusion::Confusion;
use serde_json::json;

use crate::project::cached::cached;
use crate::terminal::figures::Side;
use crate::terminal::output;
use crate::terminal::tabular::{Form, Table};

/// The slot that predictions' images are connected to.
const IMAGES: &str = "images";
/// A matrix of more classes than a terminal is wide is told by its mistakes, unless all is wanted.
const MATRIX_CLASSES: usize = 20;
const MISTAKES: usize = 20;

/// Prints it; `form` is `None` for JSON.
pub fn print(engine: &Engine, name: &str, form: Option<Form>, all: bool) -> Result<()> {
    let stage = engine.project().stage(name)?;
    let artifact = cached(engine, name, "there are no predictions")?;
    let outputs = &artifact.manifest.outputs;
    let Some((output, _)) = outputs
        .iter()
        .find(|(_, record)| record.kind == PREDICTIONS)
    else {
        return Err(Refusal::new(format!(
            "stage `{name}` of kind `{}` makes no predictions",
            stage.kind
        ))
        .hint("name a stage of kind `knn`, `probe` or `finetune`")
        .into());
    };
    let predictions = PredictionsReader::open(&artifact.parts(output))?.read_all()?;
    let mut names = BTreeMap::new();
    for from in stage.inputs.get(IMAGES).into_iter().flatten() {
        if let Some(images) = engine.find(&from.stage)? {
            names = ImagesReader::open(&images.parts(&from.output))?
                .classes()
                .clone();
        }
    }
    let confusion = Confusion::of(&predictions, &names);
    let Some(form) = form else {
        return output::print_json(&json!({
            "stage": name,
            "classes": confusion.classes,
            "counts": confusion.counts,
        }));
    };
    let is_wide = confusion.classes.len() > MATRIX_CLASSES;
    if form == Form::Aligned && is_wide && !all {
        output::print(&mistakes(&confusion))
    } else {
        output::print(&matrix(&confusion).text(form))
    }
}

fn matrix(confusion: &Confusion) -> Table {
    let names = confusion.classes.iter().map(|class| class.name.clone());
    let heading: Vec<String> = ["true \\ predicted".to_owned()]
        .into_iter()
        .chain(names)
        .collect();
    let mut sides = vec![Side::Right; heading.len()];
    sides[0] = Side::Left;
    let mut rows = vec![heading];
    for (class, counts) in confusion.classes.iter().zip(&confusion.counts) {
        let counts = counts.iter().map(u64::to_string);
        rows.push([class.name.clone()].into_iter().chain(counts).collect());
    }
    Table { sides, rows }
}

fn mistakes(confusion: &Confusion) -> String {
    let found = confusion.mistakes();
    let heading = ["true", "predicted", "images", "of the class"].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    rows.extend(found.iter().take(MISTAKES).map(|mistake| {
        vec![
            mistake.of.to_owned(),
            mistake.taken_for.to_owned(),
            mistake.count.to_string(),
            format!("{:.1} %", mistake.share * 100.0),
        ]
    }));
    let table = Table {
        sides: vec![Side::Left, Side::Left, Side::Right, Side::Right],
        rows,
    };
    let mut text = table.text(Form::Aligned);
    if found.len() > MISTAKES {
        text.push_str(&format!(
            "and {} more; the whole matrix: `--verbose`, `--csv` or `--json`\n",
            found.len() - MISTAKES
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedpipe_stages::confusion::Class;

    fn confusion(classes: usize) -> Confusion {
        let class = |label: usize| Class {
            label: label as i32,
            name: format!("class {label}"),
        };
        let count = |label: usize, best: usize| match (label == best, best > label) {
            (true, _) => 3,
            (_, true) => 1,
            _ => 0,
        };
        Confusion {
            classes: (0..classes).map(class).collect(),
            counts: (0..classes)
                .map(|label| (0..classes).map(|best| count(label, best)).collect())
                .collect(),
        }
    }

    #[test]
    fn a_matrix_has_true_classes_down() {
        assert_eq!(
            matrix(&confusion(2)).text(Form::Csv),
            "true \\ predicted,class 0,class 1\nclass 0,3,1\nclass 1,0,3\n"
        );
    }

    #[test]
    fn of_many_mistakes_the_first_are_told() {
        let text = mistakes(&confusion(8));
        assert!(
            text.contains("class 0  class 1         1        10.0 %"),
            "{text}"
        );
        assert!(text.contains("and 8 more"), "{text}");
    }
}
