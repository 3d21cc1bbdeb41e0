//! Figures of several stages as one: how many, their mean and deviation.

use polars::prelude::{ChunkAgg, ChunkVar, Column, DataFrame, NamedFrom, PolarsResult, Series};

/// A figure of one of the stages that are told together.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    pub group: u32,
    pub split: &'a str,
    pub name: &'a str,
    pub value: f64,
}

/// The figures of a group that have one split and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub group: u32,
    pub split: String,
    pub name: String,
    pub count: u32,
    pub mean: f64,
    /// The sample standard deviation; none of a single figure.
    pub deviation: Option<f64>,
}

/// In the order in which their first figures come.
pub fn summaries(figures: &[Figure]) -> Vec<Summary> {
    if figures.is_empty() {
        return Vec::new();
    }
    summarised(figures).unwrap_or_else(|error| panic!("BUG: summing up figures: {error}"))
}

fn column<T, V>(name: &str, values: Vec<V>) -> Column
where
    T: ?Sized,
    Series: NamedFrom<Vec<V>, T>,
{
    Column::from(Series::new(name.into(), values))
}

fn summarised(figures: &[Figure]) -> PolarsResult<Vec<Summary>> {
    let groups: Vec<u32> = figures.iter().map(|figure| figure.group).collect();
    let splits: Vec<&str> = figures.iter().map(|figure| figure.split).collect();
    let names: Vec<&str> = figures.iter().map(|figure| figure.name).collect();
    let values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
    let table = DataFrame::new(
        figures.len(),
        vec![
            column("group", groups),
            column("split", splits),
            column("name", names),
            column("value", values),
        ],
    )?;
    let keys = ["group", "split", "name"];
    let summed = table.group_by_stable(keys)?.apply(|rows| {
        let values = rows.column("value")?.f64()?;
        let of_values = [
            column("count", vec![rows.height() as u32]),
            column("mean", vec![values.mean()]),
            column("deviation", vec![values.std(1)]),
        ];
        let mut columns: Vec<Column> = Vec::new();
        for key in keys {
            columns.push(rows.column(key)?.head(Some(1)));
        }
        columns.extend(of_values);
        DataFrame::new(1, columns)
    })?;
    let text = |name: &str, row: usize| -> PolarsResult<String> {
        Ok(summed
            .column(name)?
            .str()?
            .get(row)
            .unwrap_or_default()
            .to_owned())
    };
    let whole = |name: &str, row: usize| -> PolarsResult<u32> {
        Ok(summed.column(name)?.u32()?.get(row).unwrap_or_default())
    };
    let rows = 0..summed.height();
    rows.map(|row| {
        Ok(Summary {
            group: whole("group", row)?,
            split: text("split", row)?,
            name: text("name", row)?,
            count: whole("count", row)?,
            mean: summed.column("mean")?.f64()?.get(row).unwrap_or(f64::NAN),
            deviation: summed.column("deviation")?.f64()?.get(row),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_one_group_split_and_name_are_one() {
        let figure = |group, split, name, value| Figure {
            group,
            split,
            name,
            value,
        };
        let figures = [
            figure(7, "test", "top1", 1.0),
            figure(2, "test", "top1", 0.25),
            figure(7, "test", "top1", 2.0),
            figure(7, "val", "top1", 5.0),
            figure(7, "test", "top1", 6.0),
        ];
        let found = summaries(&figures);
        let told: Vec<(u32, &str, u32, f64)> = found
            .iter()
            .map(|one| (one.group, one.split.as_str(), one.count, one.mean))
            .collect();
        assert_eq!(
            told,
            [
                (7, "test", 3, 3.0),
                (2, "test", 1, 0.25),
                (7, "val", 1, 5.0)
            ]
        );
        // The squares from 3 are 4, 1 and 9; two are free.
        assert_eq!(found[0].deviation, Some(7f64.sqrt()));
        assert_eq!(found[1].deviation, None);
        assert_eq!(summaries(&[]), []);
    }
}
