//! `predictions/v1`: the best classes of each image and their probabilities.

use seedpipe_base::Refusal;

use crate::on_disk::row::{TableRow, table};
use crate::on_disk::table::{TableReader, TableWriter};
use crate::schema::PREDICTIONS;

table! {
    /// What a classifier says of each image, one image a row.
    pub struct PredictionRow of PREDICTIONS {
        /// The image.
        image_id: u32 as Differences,
        /// Its true class, where it is known.
        label: Option<i32>,
        /// The most probable classes, best first.
        classes: Vec<i32>,
        /// Theirs, in the same order, 0 to 1.
        probabilities: Vec<f32>,
    }
}

pub type PredictionsWriter = TableWriter<PredictionRow>;
pub type PredictionsReader = TableReader<PredictionRow>;

impl TableRow for PredictionRow {
    fn check(&self) -> Result<(), Refusal> {
        let wrong = |expected: String, got: String| {
            let what = format!("probabilities of image {}", self.image_id);
            Err(Refusal::expected(expected, got).place(what))
        };
        if self.classes.len() != self.probabilities.len() {
            let expected = format!("{} as there are classes", self.classes.len());
            return wrong(expected, self.probabilities.len().to_string());
        }
        match self.probabilities.iter().find(|value| !value.is_finite()) {
            Some(value) => wrong("finite numbers".to_owned(), value.to_string()),
            None => Ok(()),
        }
    }
}
