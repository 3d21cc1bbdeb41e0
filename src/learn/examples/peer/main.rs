//! Our side of `tests/peers/{loss,neighbours,probing}.py`: `peer PART FOLDER SIZES…` reads the
//! part's arrays from FOLDER, then answers each line of its input with one line, so that ours and a
//! peer take turns in one run.

mod arrays;
mod loss;
mod neighbours;
mod probing;
mod process;

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use arrays::Folder;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [part, folder, sizes @ ..] = &words[..] else {
        bail!("expected `peer PART FOLDER SIZES…`, got {words:?}");
    };
    let folder = Folder::new(folder);
    let sizes = sizes
        .iter()
        .map(|size| size.parse().with_context(|| format!("size `{size}`")))
        .collect::<Result<Vec<i64>>>()?;
    let mut answer = match part.as_str() {
        "loss" => loss::answers(&folder, &sizes)?,
        "neighbours" => neighbours::answers(&folder, &sizes)?,
        "probing" => probing::answers(&folder, &sizes)?,
        other => bail!("no part `{other}`, expected loss, neighbours or probing"),
    };
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(line?.trim())?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Answers one line.
type Answers = Box<dyn FnMut(&str) -> Result<String>>;
