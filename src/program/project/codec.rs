//! What the engine asks about artifacts, answered by the artifact crate.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use seedpipe_artifact::WEIGHTS;
use seedpipe_base::{Comparison, Tolerance};
use seedpipe_engine::{Codec, Content, Digest, Judging};
use seedpipe_stages::tools::Alike;

use crate::project::tolerances;

/// Reads the artifact kinds of `seedpipe_artifact`.
pub struct ParquetCodec {
    /// In the program that has libtorch: how alike networks see.
    pub alike: Option<Alike>,
}

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
        judging: &Judging,
    ) -> Result<Comparison> {
        if kind == WEIGHTS && rows.is_none() {
            return tolerances::compare_weights(stored, again, judging, self.alike);
        }
        tolerances::compare(kind, stored, rows, again, judging)
    }

    fn may_be(&self, name: &str, before: f64, now: f64, tolerance: &Tolerance) -> bool {
        tolerances::may_be(name, before, now, tolerance)
    }

    fn tolerance(&self, kind: &str) -> Tolerance {
        tolerances::default_of(kind)
    }
}
