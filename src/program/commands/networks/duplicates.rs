//! `duplicates`: images whose embeddings are nearly the same. Those in two splits come first, since
//! what is judged was then learned from.

use std::cell::RefCell;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use seedpipe_artifact::ImagesReader;
use seedpipe_base::{Refusal, text};
use seedpipe_stages::near_pairs::Rows;
use serde_json::{Value, json};

use crate::commands::Invocation;
use crate::commands::networks::among::Among;
use crate::commands::networks::look::engine_for;
use crate::{terminal::output, torch::sibling};

#[derive(Args, Debug)]
pub struct Duplicates {
    /// An `encode` stage of whole images, or a file by `embed -o`
    #[arg(value_name = "STAGE|FILE.parquet")]
    pub embeddings: String,
    /// The cosine from which on two images are a pair
    #[arg(long, default_value_t = 0.95, value_name = "COSINE", value_parser = cosine)]
    pub threshold: f32,
    /// How many pairs are listed; all are counted
    #[arg(short = 'n', long, default_value_t = 100, value_name = "COUNT")]
    pub pairs: usize,
    /// JSON lines, a pair each
    #[arg(long)]
    pub json: bool,
}

fn cosine(text: &str) -> Result<f32, String> {
    let cosine: Option<f32> = text.parse().ok();
    let cosine = cosine.filter(|cosine| *cosine > 0.0 && *cosine <= 1.0);
    cosine.ok_or_else(|| "expected a number above 0, up to 1".to_owned())
}

/// Two rows, the first of them first. Ordered as they are listed.
#[derive(Clone, Copy, PartialEq)]
struct Pair {
    rows: [usize; 2],
    cosine: f32,
    in_two_splits: bool,
}

impl Pair {
    fn comes_before(&self, other: &Pair) -> bool {
        let key = |pair: &Pair| (!pair.in_two_splits, -pair.cosine, pair.rows);
        key(self) < key(other)
    }
}

/// The first pairs of all, and how many there are.
#[derive(Default)]
struct Found {
    first: Vec<Pair>,
    all: u64,
    in_two_splits: u64,
}

impl Found {
    fn add(&mut self, pair: Pair, most: usize) {
        self.all += 1;
        self.in_two_splits += u64::from(pair.in_two_splits);
        let place = self
            .first
            .partition_point(|other| other.comes_before(&pair));
        if place < most {
            self.first.insert(place, pair);
            self.first.truncate(most);
        }
    }
}

pub fn execute(invocation: Invocation, arguments: &Duplicates) -> Result<ExitCode> {
    let tools = sibling::tools(invocation.tools)?;
    let name = arguments.embeddings.as_str();
    let engine = engine_for(invocation, [Some(name)])?;
    let among = Among::open("", name, engine.as_ref())?;
    if let Among::Stage { embeddings, .. } = &among
        && embeddings.header().of == seedpipe_artifact::Of::Views
    {
        return Err(Refusal::failure(format!(
            "stage `{name}` holds embeddings of views, expected of whole images"
        ))
        .hint("name an `encode` stage without the input `views`")
        .into());
    }
    let images = among.images()?;
    let dimension = among.dimension()?;
    // Ids of the rows that were read, which the first round does in order.
    let ids: RefCell<Vec<u64>> = RefCell::default();
    let rows = Rows {
        count: among.rows(),
        dimension,
        read: &|rows| {
            let (read, values) = among.read(rows.clone(), dimension)?;
            let mut ids = ids.borrow_mut();
            if rows.start == ids.len() {
                ids.extend(read);
            }
            Ok(values)
        },
    };
    let image = |images: &ImagesReader, row: usize| -> Option<usize> {
        let id = u32::try_from(*ids.borrow().get(row)?).ok()?;
        images.row_of(id)
    };
    let mut found = Found::default();
    (tools.near_pairs)(&rows, arguments.threshold, &mut |rows, cosine| {
        let splits = images
            .as_ref()
            .map(|images| rows.map(|row| image(images, row).map(|row| images.image(row).split)));
        let pair = Pair {
            rows,
            cosine,
            in_two_splits: splits.is_some_and(|[one, other]| one != other),
        };
        found.add(pair, arguments.pairs);
    })?;
    for pair in &found.first {
        let sides = pair.rows.map(|row| match &images {
            Some(images) => {
                let row = image(images, row).context("BUG: an embedding of no image")?;
                of_stage(images, row)
            }
            None => of_file(&among, row, dimension),
        });
        let [one, other] = sides;
        print(pair, [one?, other?], arguments.json)?;
    }
    output::error(&summary(&found, arguments, images.is_some()));
    Ok(ExitCode::SUCCESS)
}

/// An image of a pair.
struct Side {
    image: String,
    /// Split, class and digest, where they are known.
    known: Option<(String, Option<String>, [u8; 32])>,
}

fn of_stage(images: &ImagesReader, row: usize) -> Result<Side> {
    let image = images.image(row);
    let number = || image.label.map(|label| label.to_string());
    let class = image.label_name.map(str::to_owned).or_else(number);
    Ok(Side {
        image: images.source(row)?,
        known: Some((image.split.to_owned(), class, *image.digest)),
    })
}

fn of_file(among: &Among, row: usize, dimension: usize) -> Result<Side> {
    let mut image = String::new();
    if let Among::File { reader, .. } = among {
        reader.each(row..row + 1, dimension, |name, _| {
            name.clone_into(&mut image)
        })?;
    }
    Ok(Side { image, known: None })
}

fn print(pair: &Pair, sides: [Side; 2], as_json: bool) -> Result<()> {
    let digests = sides
        .each_ref()
        .map(|side| side.known.as_ref().map(|(.., digest)| digest));
    let is_same = digests[0].is_some() && digests[0] == digests[1];
    if as_json {
        let images = sides.map(|side| match side.known {
            Some((split, class, _)) => json!({"image": side.image, "split": split, "class": class}),
            None => json!({"image": side.image}),
        });
        return output::print(&Value::to_string(&json!({
            "similarity": pair.cosine,
            "identical": is_same,
            "images": images,
        })));
    }
    let sides = sides.map(|side| match side.known {
        Some((split, Some(class), _)) => format!("{} ({split}, {class})", side.image),
        Some((split, None, _)) => format!("{} ({split})", side.image),
        None => side.image,
    });
    let what = match is_same {
        true => "same  ".to_owned(),
        false => format!("{:.4}", pair.cosine),
    };
    output::print(&format!("{what}  {} = {}", sides[0], sides[1]))
}

fn summary(found: &Found, arguments: &Duplicates, knows_splits: bool) -> String {
    let pairs = match found.all {
        1 => "1 pair of images".to_owned(),
        all => format!("{} pairs of images", text::count(all)),
    };
    let mut told = format!("{pairs} with a cosine of {} or more", arguments.threshold);
    if knows_splits {
        told.push_str(&format!(
            ", {} of them in two splits",
            text::count(found.in_two_splits)
        ));
    }
    if found.all > found.first.len() as u64 {
        told.push_str(&format!(
            "; {} are listed",
            text::count(found.first.len() as u64)
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_two_splits_come_first_and_all_are_counted() {
        let pair = |first: usize, cosine: f32, in_two_splits: bool| Pair {
            rows: [first, first + 1],
            cosine,
            in_two_splits,
        };
        let mut found = Found::default();
        for pair in [
            pair(0, 0.96, false),
            pair(1, 1.0, false),
            pair(2, 0.95, true),
            pair(3, 0.97, true),
            pair(4, 0.97, true),
            pair(5, 0.99, false),
        ] {
            found.add(pair, 4);
        }
        let listed: Vec<usize> = found.first.iter().map(|pair| pair.rows[0]).collect();
        assert_eq!(listed, [3, 4, 2, 1]);
        assert_eq!((found.all, found.in_two_splits), (6, 3));
    }

    #[test]
    fn a_cosine_is_above_0_and_at_most_1() {
        assert_eq!(cosine("0.9"), Ok(0.9));
        for wrong in ["0", "-1", "1.01", "NaN", "inf", "x"] {
            assert!(cosine(wrong).is_err(), "{wrong}");
        }
    }
}
