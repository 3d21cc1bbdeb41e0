//! What stored targets will take, as `status` and `run --dry-run` say it.

use anyhow::Result;
use seedpipe_engine::{Engine, StageState, StageStatus};
use seedpipe_stages::storage::{Images, StorageEstimate, of_stage};
use serde_json::{Value, json};

use crate::terminal::figures;

/// What each of the stages that is not cached will store of views, by its place in `stages`.
pub fn planned(engine: &Engine, stages: &[StageStatus]) -> Result<Vec<Option<StorageEstimate>>> {
    let find = |name: &str| match stages.iter().find(|stage| stage.stage == name) {
        Some(stage) => Ok(stage.artifact.clone()),
        None => engine.find(name),
    };
    stages
        .iter()
        .map(|stage| match stage.state {
            StageState::Cached => Ok(None),
            _ => of_stage(engine, engine.project().stage(&stage.stage)?, &find),
        })
        .collect()
}

/// A line for each stage that will store targets.
pub fn lines(stages: &[StageStatus], planned: &[Option<StorageEstimate>]) -> String {
    let told = stages.iter().zip(planned);
    told.filter_map(|(stage, storage)| {
        let storage = storage.as_ref()?;
        Some(format!("{}: {}\n", stage.stage, line(storage)))
    })
    .collect()
}

fn line(storage: &StorageEstimate) -> String {
    let views = figures::count(storage.views);
    let view = match storage.dimension {
        Some(dimension) => format!("{dimension} × {}", storage.precision),
        None => storage.precision.to_owned(),
    };
    let images = match &storage.images {
        Images::Known(images) => images,
        Images::UnknownUntil(stage) => {
            let each = match storage.width() {
                Some(width) => format!(", {} an image", in_short(width * storage.views)),
                None => String::new(),
            };
            return format!(
                "will store {views} views an image ({view} a view{each}); teacher passes and bytes are unknown until `{stage}` has run"
            );
        }
    };
    let bytes = match storage.bytes() {
        Some(bytes) => in_short(bytes),
        None => "of a length that its network's file says".to_owned(),
    };
    format!(
        "will store {} images × {views} views: {} teacher passes, {bytes} ({view} a view)",
        figures::count(*images),
        figures::count(images * storage.views),
    )
}

/// `66 GB`, `8.2 MB`: two digits are enough of an estimate.
pub fn in_short(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 999.5 {
            let decimals = usize::from(size < 9.95 && unit != "B");
            return format!("{size:.decimals$} {unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// The same for machines; null for a stage that stores no targets.
pub fn as_json(storage: Option<&StorageEstimate>) -> Value {
    let Some(storage) = storage else {
        return Value::Null;
    };
    json!({
        "images": match &storage.images {
            Images::Known(images) => Some(images),
            Images::UnknownUntil(_) => None,
        },
        "views": storage.views,
        "dimension": storage.dimension,
        "precision": storage.precision,
        "teacher_passes": storage.passes(),
        "bytes": storage.bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_official_recipe_is_told_in_one_line() {
        let official = StorageEstimate {
            images: Images::Known(1_281_167),
            views: 200,
            dimension: Some(128),
            precision: "f16",
        };
        assert_eq!(
            line(&official),
            "will store 1,281,167 images × 200 views: 256,233,400 teacher passes, 66 GB (128 × f16 a view)"
        );
        let unknown = StorageEstimate {
            images: Images::UnknownUntil("images".into()),
            ..official.clone()
        };
        assert_eq!(
            line(&unknown),
            "will store 200 views an image (128 × f16 a view, 51 kB an image); teacher passes and bytes are unknown until `images` has run"
        );
        let of_a_file = StorageEstimate {
            dimension: None,
            ..official
        };
        assert_eq!(as_json(Some(&of_a_file))["bytes"], Value::Null);
        assert!(line(&of_a_file).ends_with(
            "256,233,400 teacher passes, of a length that its network's file says (f16 a view)"
        ));
    }
}
