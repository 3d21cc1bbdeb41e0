//! Exact nearest neighbours of `queries` (`[M, D]`) among `bank` (`[N, D]`); sizes N M D k.
//!
//! Lines: `time` (wall and processor seconds, the bank's preparation included), `peak` (bytes),
//! `found` (writes `found.i64`, `[M, k]`).

use anyhow::{Result, bail};
use seedpipe_learn::knn::Bank;

use super::Answers;
use super::arrays::Folder;
use super::process::{peak_bytes, timed};

pub fn answers(folder: &Folder, sizes: &[i64]) -> Result<Answers> {
    let &[rows, queries, dimension, k] = sizes else {
        bail!("expected N M D k, got {sizes:?}");
    };
    let bank = folder.floats("bank", &[rows, dimension])?;
    let queries = folder.floats("queries", &[queries, dimension])?;
    let folder = folder.clone();
    let labels = vec![0; rows as usize];
    let search = move || Bank::new(&bank, &labels, 1).nearest_rows(&queries, k as usize);
    Ok(Box::new(move |line| {
        Ok(match line {
            "time" => timed(&search).1,
            "peak" => peak_bytes(|| drop(search())).to_string(),
            "found" => {
                let found = search();
                folder.write_integers("found", found.into_iter().flatten().map(i64::from))?;
                "written".to_owned()
            }
            other => bail!("expected time, peak or found, got `{other}`"),
        })
    }))
}
