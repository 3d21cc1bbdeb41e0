//! What a stage is for, told by its kind from its params. The engine asks for none of it: tables
//! and pages of results do, and so need no list of kinds.

use std::path::Path;

use serde_json::Value;

/// A headline figure with a column in the table of results: a share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// As in `metrics/v1`: `knn_top1`.
    pub name: &'static str,
    pub title: &'static str,
    /// Networks are compared by it before any other.
    pub is_main: bool,
}

impl Column {
    pub const fn new(name: &'static str, title: &'static str) -> Column {
        Column {
            name,
            title,
            is_main: false,
        }
    }

    #[must_use]
    pub const fn main(mut self) -> Column {
        self.is_main = true;
        self
    }
}

/// What a stage has to do with networks.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Purpose {
    /// Nothing, or its kind doesn't say.
    #[default]
    Other,
    /// It trains a network, from the one on its slot `weights` where one is connected.
    Training(Training),
    /// It uses a network and leaves it as it is: the one on its slot `weights`, else its own.
    Encoding {
        /// How its own learned, in a few words: `checkpoint`.
        way: &'static str,
        /// The file of its own, as params name it: stages of one file use one network.
        file: Option<String>,
    },
    /// It judges a network by the features on its slot `features`.
    Judging,
}

impl Purpose {
    /// To use the network of a checkpoint file, as params name it.
    pub fn of_checkpoint(file: &Path) -> Purpose {
        Purpose::Encoding {
            way: "checkpoint",
            file: Some(file.display().to_string()),
        }
    }
}

/// How a network is trained.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Training {
    /// In a few words: `SEED`, `labels alone`.
    pub way: String,
    /// What its losses are losses of: those of one name share an axis.
    pub loss: String,
    /// Slots with embeddings of its teachers; empty: it learns without any.
    pub teachers: &'static [&'static str],
    /// The network that it writes, as params name one; null where only its inputs say it.
    pub network: Value,
}
