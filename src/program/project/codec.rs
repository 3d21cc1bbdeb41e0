//! What the engine asks about artifacts, answered by the artifact crate.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use seedpipe_base::{Comparison, Tolerance};
use seedpipe_engine::{Codec, Content, Digest};

use crate::project::tolerances;

/// Reads the artifact kinds of `seedpipe_artifact`.
pub struct ParquetCodec;

impl Codec for ParquetCodec {
    fn digest(&self, kind: &str, parts: &[PathBuf]) -> Result<Content> {
        let content = seedpipe_artifact::digest(kind, parts)?;
        Ok(Content {
            digest: Digest(content.digest),
            rows: content.rows,
        })
    }

    fn headline(
        &self,
        kind: &str,
        parts: &[PathBuf],
        names: &[&str],
    ) -> Result<BTreeMap<String, f64>> {
        Ok(seedpipe_artifact::headline(kind, parts, names)?)
    }

    fn compare(
        &self,
        kind: &str,
        stored: &[PathBuf],
        rows: Option<&[Range<u64>]>,
        again: &[PathBuf],
        tolerance: &Tolerance,
        headline: &[&str],
    ) -> Result<Comparison> {
        tolerances::compare(kind, stored, rows, again, tolerance, headline)
    }

    fn tolerance(&self, kind: &str) -> Tolerance {
        tolerances::default_of(kind)
    }
}
