//! What students gained: against the same network untrained, and against what is as large and
//! learned without a teacher. Every comparison is told with its interval, and none chooses the best
//! of several networks by the images that judge them: those that differ in seeds alone are one,
//! with their mean and deviation.

use std::collections::BTreeMap;

use seedpipe_artifact::{Figure, Summary, summaries};
use seedpipe_engine::SEED;

use super::material::{Catalogue, Source};
use super::networks::{self, Role};
use crate::shared::results::{Measure, ResultRow, Results};

/// Half of a 95 % interval in standard errors, by Student's t for 1 degree of freedom and more.
const T: [f64; 10] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
];

/// Networks that differ in their seeds alone, by one measure.
pub struct Group<'a> {
    pub role: Role,
    pub members: Vec<Member<'a>>,
    /// What they are called together.
    base: String,
    summary: Summary,
}

/// A network with its figure.
pub struct Member<'a> {
    pub row: &'a ResultRow,
    pub measure: &'a Measure,
    source: Option<&'a Source>,
}

/// A student against another network.
pub struct Gain {
    student: String,
    /// The measure's title.
    title: String,
    against: String,
    /// What the other one is.
    what: &'static str,
    /// As fractions.
    difference: f64,
    interval: Option<[f64; 2]>,
}

impl Group<'_> {
    /// `student`, or `student, 3 seeds`.
    pub fn name(&self) -> String {
        match self.members.as_slice() {
            [one] => one.row.network.clone(),
            several => format!("{}, {} seeds", self.base, several.len()),
        }
    }

    /// Of its seeds, the mean.
    pub fn value(&self) -> f64 {
        self.summary.mean
    }

    /// The standard deviation of several seeds.
    pub fn deviation(&self) -> Option<f64> {
        self.summary.deviation
    }

    /// A 95 % interval: over the judged images, which are the same for every seed, and over seeds.
    fn interval(&self) -> Option<[f64; 2]> {
        let intervals = self.members.iter().map(|member| member.measure.interval);
        let intervals = intervals.collect::<Option<Vec<_>>>()?;
        let (mean, count) = (self.value(), self.members.len());
        let of_seeds = self.deviation().map_or(0.0, |deviation| {
            let t = T.get(count - 2).copied().unwrap_or(2.2);
            t * deviation / (count as f64).sqrt()
        });
        let end = |end: usize| {
            let ends = intervals.iter().map(|interval| interval[end]);
            let of_images = ends.sum::<f64>() / count as f64 - mean;
            of_images.hypot(of_seeds)
        };
        Some([mean - end(0), mean + end(1)])
    }

    /// Parameters, where all of them have as many.
    pub fn parameters(&self) -> Option<u64> {
        let first = self.members[0].row.parameters;
        let mut others = self.members.iter().map(|member| member.row.parameters);
        first.filter(|_| others.all(|other| other == first))
    }

    fn all(&self, is: impl Fn(&Source) -> bool) -> bool {
        let mut sources = self.members.iter().map(|member| member.source);
        sources.all(|source| source.is_some_and(&is))
    }

    /// The mean of the teachers that taught it, and what they are called.
    pub fn teachers(&self, material: &Catalogue, groups: &[Group]) -> Option<(String, f64)> {
        let taught = |teacher: &Source| {
            let mut students = self.members.iter().filter_map(|member| member.source);
            students.any(|student| networks::is_taught_by(material, student, teacher))
        };
        let teachers = groups.iter().filter(|group| group.role == Role::Teacher);
        let teachers: Vec<&Group> = teachers.filter(|group| group.all(taught)).collect();
        let names: Vec<String> = teachers.iter().map(|teacher| teacher.name()).collect();
        let values = teachers.iter().map(|teacher| teacher.value());
        let mean = values.sum::<f64>() / teachers.len() as f64;
        (mean > 0.0).then(|| (names.join(" and "), mean))
    }
}

impl Gain {
    /// The interval of the difference is that of independent shares (MOVER, Zou and Donner 2008):
    /// of networks that err on the same images it is too wide, never too narrow.
    fn of(title: &str, student: &Group, other: &Group, what: &'static str) -> Gain {
        let (value, against) = (student.value(), other.value());
        let ends = student.interval().zip(other.interval());
        Gain {
            student: student.name(),
            title: title.to_owned(),
            against: other.name(),
            what,
            difference: value - against,
            interval: ends.map(|([low, high], [other_low, other_high])| {
                [
                    value - against - (value - low).hypot(other_high - against),
                    value - against + (high - value).hypot(against - other_low),
                ]
            }),
        }
    }

    /// In two words, and what they are about.
    pub fn card(&self) -> (String, String) {
        let points = points(self.difference);
        let (figure, about) = match self.interval {
            Some([low, _]) if low > 0.0 => (points, String::new()),
            None if self.difference > 0.0 => (points, String::new()),
            Some([_, high]) if high >= 0.0 => ("no sure gain".to_owned(), format!(": {points}")),
            _ => ("nothing gained".to_owned(), format!(": {points}")),
        };
        (
            figure,
            format!("against {}{about}{}", self.other(), self.sure()),
        )
    }

    /// The same in one line.
    pub fn sentence(&self) -> String {
        let (figure, about) = self.card();
        format!("{}, {}: {figure} {about}", self.student, self.title)
    }

    fn other(&self) -> String {
        format!("{}, {}", self.against, self.what)
    }

    fn sure(&self) -> String {
        self.interval.map_or_else(String::new, |[low, high]| {
            format!(
                " (95 % interval {:+.1} to {:+.1})",
                low * 100.0,
                high * 100.0
            )
        })
    }
}

fn points(difference: f64) -> String {
    format!("{:+.1} points", difference * 100.0)
}

/// The networks of a column in the order of the results.
pub fn groups<'a>(material: &Catalogue<'a>, results: &'a Results, column: usize) -> Vec<Group<'a>> {
    let grouping = material.grouping();
    let by_seed = grouping.groups(&[SEED]);
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut members: Vec<Vec<Member>> = Vec::new();
    for row in &results.rows {
        let Some(measure) = row.values[column].as_ref() else {
            continue;
        };
        let member = Member {
            row,
            measure,
            source: material.source(&row.network),
        };
        let group = grouping
            .place(&row.network)
            .and_then(|place| by_seed.of(place));
        let place = group.map(|group| *places.entry(group).or_insert(members.len()));
        match place.and_then(|place| members.get_mut(place)) {
            Some(others) => others.push(member),
            None => members.push(vec![member]),
        }
    }
    let figures = members.iter().zip(0..).flat_map(|(members, group)| {
        members.iter().map(move |member| Figure {
            group,
            split: "",
            name: "",
            value: member.measure.value,
        })
    });
    let summaries = summaries(&figures.collect::<Vec<_>>());
    let groups = members.into_iter().zip(summaries);
    groups
        .map(|(members, summary)| {
            let role = members[0].source;
            let names = members.iter().map(|member| member.row.network.as_str());
            let named: Vec<usize> = names.filter_map(|name| grouping.place(name)).collect();
            Group {
                role: role.map_or(Role::Baseline, |source| networks::role(material, source)),
                base: grouping.name(&named, &[SEED]),
                members,
                summary,
            }
        })
        .collect()
}

/// Every student against what it is to beat, in one column: the first in which a student and its
/// untrained network stand, the one that networks are compared by before others.
pub fn gains(material: &Catalogue, results: &Results, main: usize) -> Vec<Gain> {
    let others = (0..results.columns.len()).filter(|column| *column != main);
    let mut columns = [main].into_iter().chain(others);
    let has_floor = |column: &usize| {
        let groups = groups(material, results, *column);
        let mut students = groups.iter().filter(|group| group.role == Role::Student);
        students.any(|student| floor(student, &groups).is_some())
    };
    let column = columns.find(has_floor).unwrap_or(main);
    let groups = groups(material, results, column);
    let title = &results.columns[column];
    let mut gains = Vec::new();
    for student in groups.iter().filter(|group| group.role == Role::Student) {
        let is_begun = |other: &&Group| {
            let began = |of: &Source| student.all(|own| networks::began_as(material, own, of));
            other.all(began)
        };
        let begun: Vec<&Group> = groups.iter().filter(is_begun).collect();
        let drawn = match begun.is_empty() {
            true => "the same network before training",
            false => "the same network with nothing learned",
        };
        let floor = floor(student, &groups);
        gains.extend(floor.map(|other| Gain::of(title, student, other, drawn)));
        let what = "the published network that it began as";
        let begun = begun.into_iter();
        gains.extend(begun.map(|other| Gain::of(title, student, other, what)));
        let alone = groups.iter().filter(|other| {
            let alone = |source: &Source| networks::learned_alone(material, source);
            is_as_large(student, other) && other.all(alone)
        });
        let what = "as large and without the teacher";
        gains.extend(alone.map(|other| Gain::of(title, student, other, what)));
    }
    gains
}

/// The student's network as it was drawn.
pub fn floor<'b, 'a>(student: &Group, groups: &'b [Group<'a>]) -> Option<&'b Group<'a>> {
    groups
        .iter()
        .find(|other| is_as_large(student, other) && other.all(networks::is_untrained))
}

/// Two sizes that nobody knows are not equal.
fn is_as_large(student: &Group, other: &Group) -> bool {
    let size = other.parameters();
    other.role == Role::Baseline && size.is_some() && size == student.parameters()
}

/// What is to be added where students are judged by their features and no untrained network is.
pub fn missing_floor(material: &Catalogue, results: &Results, main: usize) -> Option<String> {
    let groups = groups(material, results, main);
    let student = groups.iter().find(|group| group.role == Role::Student)?;
    let judge = material.source(&student.members[0].measure.stage)?;
    let untrained = material.sources.iter().any(networks::is_untrained);
    (judge.inputs.contains_key("features") && !untrained).then(|| {
        format!(
            "no untrained network in this pipeline, so what training gave is not known: add an `encode` stage with the student's `network` and without weights, and a `{}` stage on it",
            judge.kind.name()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;
    use crate::report::material::Material;
    use crate::report::sections::headline::main_column;
    use crate::shared::results::results;

    fn told(material: &Material) -> Vec<String> {
        let material = material.catalogue();
        let results = results(&material.result_sources());
        let main = main_column(&results).unwrap();
        let gains = gains(&material, &results, main);
        gains.iter().map(Gain::sentence).collect()
    }

    /// The example with other figures of the untrained network.
    fn against(value: f64, low: f64, high: f64) -> Material {
        let mut material = example::material();
        material
            .sources
            .retain(|source| source.stage != "untrained_probe");
        let figures = [
            ("test/linear_top1", value),
            ("test/linear_top1_low", low),
            ("test/linear_top1_high", high),
        ];
        material
            .sources
            .push(example::probe("untrained_probe", "untrained", &figures));
        material
    }

    #[test]
    fn a_gain_is_told_with_its_interval_and_none_is_said_to_be_none() {
        let start = "student, linear top-1: ";
        for (material, expected) in [
            (
                against(0.4, 0.385, 0.415),
                "+35.0 points against untrained, the same network before training (95 % interval +32.5 to +37.5)",
            ),
            (
                against(0.74, 0.72, 0.76),
                "no sure gain against untrained, the same network before training: +1.0 points (95 % interval -1.8 to +3.8)",
            ),
            (
                against(0.93, 0.92, 0.94),
                "nothing gained against untrained, the same network before training: -18.0 points (95 % interval -20.2 to -15.8)",
            ),
            (
                example::material(),
                "+35.0 points against untrained, the same network before training",
            ),
        ] {
            assert_eq!(told(&material), [format!("{start}{expected}")]);
        }
    }

    #[test]
    fn seeds_are_one_network_whose_mean_is_told_and_other_params_another() {
        let mut material = example::material();
        for (seed, value) in [(1, 0.85), (2, 0.95)] {
            let copy = |stage: &str, name: String| {
                let found = material.sources.iter().find(|source| source.stage == stage);
                let mut source = example::copy(found.unwrap(), &name);
                source.seed = seed;
                source
            };
            let student = copy("student", format!("student[seed={seed}]"));
            let features = format!("student_features[seed={seed}]");
            let encode = example::encode(&features, &student.stage, 18_888);
            let figures = [
                ("test/linear_top1", value),
                ("test/linear_top1_low", value - 0.02),
                ("test/linear_top1_high", value + 0.02),
            ];
            let probe = example::probe(&format!("probe[seed={seed}]"), &features, &figures);
            material.sources.extend([student, encode, probe]);
        }
        let catalogue = material.catalogue();
        let results = results(&catalogue.result_sources());
        let groups = groups(&catalogue, &results, 0);
        let students = groups.iter().filter(|group| group.role == Role::Student);
        let students: Vec<&Group> = students.collect();
        assert_eq!(students.len(), 1);
        assert_eq!(students[0].name(), "student, 3 seeds");
        assert!((students[0].value() - 0.85).abs() < 1e-12);
        assert!((students[0].deviation().unwrap() - 0.1).abs() < 1e-12);
        // 4.303 · 0.1 / √3 of the seeds, 0.02 of the images.
        let half = (4.303f64 * 0.1 / 3f64.sqrt()).hypot(0.02);
        let [low, high] = students[0].interval().unwrap();
        assert!((low - (0.85 - half)).abs() < 1e-9 && (high - (0.85 + half)).abs() < 1e-9);

        let other = material.sources.iter_mut();
        let other = other.filter(|source| source.stage == "student[seed=2]");
        other.for_each(|source| source.params["queue"] = 64.into());
        assert_eq!(told(&material).len(), 2);
    }

    #[test]
    fn without_an_untrained_network_it_is_said_what_to_add() {
        let mut material = example::material();
        let said = |material: &Material| {
            let material = material.catalogue();
            let results = results(&material.result_sources());
            missing_floor(&material, &results, 0)
        };
        assert_eq!(said(&material), None);
        material
            .sources
            .retain(|source| !source.stage.starts_with("untrained"));
        assert!(
            said(&material)
                .unwrap()
                .contains("and a `probe` stage on it")
        );
    }
}
