//! Measures rendering alone for `tests/peers/encoding.py`: reads lines `NETWORK BATCH PART…`, with
//! the files of an `images/v1` output, and answers each with images per second.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split_whitespace();
        let network = words.next().context("NETWORK")?;
        let batch = words.next().context("BATCH")?.parse().context("BATCH")?;
        let parts: Vec<PathBuf> = words.map(PathBuf::from).collect();
        println!(
            "{:.3}",
            seedpipe_stages::speed::rendering(&parts, network, batch)?
        );
        std::io::stdout().flush()?;
    }
    Ok(())
}
