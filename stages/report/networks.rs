//! What can be said of a network without loading it: how it learned, its part in the experiment,
//! and what an image costs.

use seedpipe_engine::Purpose;
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::material::{Catalogue, Source};

/// A network's part in the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Teacher,
    Student,
    /// Anything else that was measured. Learned from a teacher by embeddings or soft labels, a
    /// network is a student.
    Baseline,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Teacher => "teacher",
            Role::Student => "student",
            Role::Baseline => "baseline",
        }
    }
}

/// The part of the network that a stage made.
pub fn role(material: &Catalogue, source: &Source) -> Role {
    if !teachers(source).is_empty() {
        return Role::Student;
    }
    // Trained on with labels, a student stays one.
    if source.training().is_some()
        && let Some(from) = material.input(source, "weights")
        && role(material, from) == Role::Student
    {
        return Role::Student;
    }
    let taught = material.sources.iter().flat_map(|student| {
        let slots = teachers(student).iter();
        slots.map(move |slot| (student, *slot))
    });
    let mut encodes = taught.flat_map(|(student, slot)| material.inputs(student, slot));
    if encodes.any(|encode| is_maker(material, encode, source)) {
        Role::Teacher
    } else {
        Role::Baseline
    }
}

/// Slots with what other networks taught it.
fn teachers(source: &Source) -> &'static [&'static str] {
    source.training().map_or(&[], |training| training.teachers)
}

/// Whether it was trained, and nothing of a teacher went into it: no soft labels, and no weights of
/// a teacher or a student.
pub fn learned_alone(material: &Catalogue, source: &Source) -> bool {
    source.training().is_some()
        && role(material, source) == Role::Baseline
        && material
            .input(source, "weights")
            .is_none_or(|from| learned_alone(material, from))
}

/// Whether a network was trained on from a published one.
pub fn began_as(material: &Catalogue, source: &Source, published: &Source) -> bool {
    matches!(published.purpose, Purpose::Encoding { file: Some(_), .. })
        && material
            .input(source, "weights")
            .is_some_and(|from| from.stage == published.stage)
}

/// Whether it shows images to a network that nothing taught.
pub fn is_untrained(source: &Source) -> bool {
    matches!(source.purpose, Purpose::Encoding { file: None, .. })
        && !source.inputs.contains_key("weights")
}

/// Whether what a teacher says went into a network, or into the one that it began as.
pub fn is_taught_by(material: &Catalogue, student: &Source, teacher: &Source) -> bool {
    let mut encodes = teachers(student)
        .iter()
        .flat_map(|slot| material.inputs(student, slot));
    encodes.any(|encode| is_maker(material, encode, teacher))
        || (student.training().is_some()
            && material
                .input(student, "weights")
                .is_some_and(|from| is_taught_by(material, from, teacher)))
}

/// Whether an `encode` stage's network is the one that `source` made, or read from the same file.
fn is_maker(material: &Catalogue, encode: &Source, source: &Source) -> bool {
    if let Some(maker) = material.input(encode, "weights") {
        return maker.stage == source.stage;
    }
    let is_of_one_file = match (&source.purpose, &encode.purpose) {
        (Purpose::Encoding { file: own, .. }, Purpose::Encoding { file, .. }) => {
            own.is_some() && own == file
        }
        _ => false,
    };
    encode.stage == source.stage || is_of_one_file
}

/// How it learned, in a few words.
pub fn learned(material: &Catalogue, source: &Source) -> String {
    match (&source.purpose, material.input(source, "weights")) {
        (Purpose::Training(training), Some(from)) if !training.network.is_null() => {
            format!("{} from {}", training.way, from.stage)
        }
        (Purpose::Training(training), Some(from)) => {
            let soft = match training.teachers {
                [] => "",
                _ => ", soft labels",
            };
            format!("fine-tuned from {}{soft}", from.stage)
        }
        (Purpose::Training(training), None) => training.way.clone(),
        (Purpose::Encoding { way, .. }, _) => (*way).to_owned(),
        _ => source.kind.name().to_owned(),
    }
}

/// Its name, as `cifar_resnet8 × 0.5`.
pub fn architecture_text(material: &Catalogue, source: &Source) -> Option<String> {
    let architecture = architecture(material, source)?;
    let name = match architecture.name.as_str() {
        "" => "own graph",
        name => name,
    };
    Some(if architecture.width == 1.0 {
        name.to_owned()
    } else {
        format!("{name} × {}", architecture.width)
    })
}

/// Multiplications with additions for one image, at the size that it is measured at, without head
/// or classifier; `None` where the recipe doesn't say the network or the size.
pub fn multiply_adds(material: &Catalogue, source: &Source) -> Option<u64> {
    let architecture = architecture(material, source)?.backbone();
    let size = size(material, source, &architecture)?;
    let graph = architecture.graph().ok()?;
    Some(graph.multiply_adds(size.into(), size.into()))
}

fn parsed<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn architecture(material: &Catalogue, source: &Source) -> Option<Architecture> {
    parsed(&source.params["network"])
        .or_else(|| architecture(material, material.input(source, "weights")?))
}

fn size(material: &Catalogue, source: &Source, architecture: &Architecture) -> Option<u32> {
    let own: Option<Preprocessing> = parsed(&source.params["preprocessing"]);
    if let Some(preprocessing) = own {
        return Some(preprocessing.size);
    }
    if let Some(weights) = material.input(source, "weights") {
        return size(material, weights, architecture);
    }
    let views = material.input(source, "views");
    let size = views.and_then(|views| views.params["size"].as_u64());
    match size {
        Some(size) => u32::try_from(size).ok(),
        None => Some(architecture.default_preprocessing().size),
    }
}

/// Images a second of the encoding that a network was measured by, when it embedded all of its rows
/// anew.
pub fn images_per_second(material: &Catalogue, network: &str) -> Option<f64> {
    let encodes = material.sources.iter().filter(|source| {
        matches!(source.purpose, Purpose::Encoding { .. })
            && !source.inputs.contains_key("views")
            && (source.stage == network
                || material
                    .input(source, "weights")
                    .is_some_and(|maker| maker.stage == network))
    });
    let rates = encodes.filter_map(|source| {
        let values = &source.making.as_ref()?.values;
        let reused = values.get("reused_rows").copied().unwrap_or(0.0);
        (reused == 0.0).then(|| values.get("views_per_second").copied())?
    });
    rates.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::example;

    #[test]
    fn networks_are_told_by_their_stages() {
        let material = example::material();
        let material = material.catalogue();
        let of = |stage: &str| material.source(stage).unwrap();
        let teacher = of("teacher");
        assert_eq!(role(&material, teacher), Role::Teacher);
        assert_eq!(role(&material, of("student")), Role::Student);
        assert_eq!(role(&material, of("untrained")), Role::Baseline);
        assert_eq!(learned(&material, teacher), "MoCo v2");
        assert_eq!(learned(&material, of("student")), "SEED");
        assert_eq!(learned(&material, of("untrained")), "untrained");
        assert_eq!(
            architecture_text(&material, of("student")).unwrap(),
            "cifar_resnet8 × 0.5"
        );
        // A view of 28 pixels; the untrained network's preprocessing says the same.
        let cost = multiply_adds(&material, of("student")).unwrap();
        assert_eq!(multiply_adds(&material, of("untrained")), Some(cost));
        assert!(multiply_adds(&material, teacher).unwrap() > 10 * cost);
    }

    #[test]
    fn each_way_to_learn_without_a_teacher_has_its_papers_name() {
        let mut material = example::material();
        let network = json!({ "name": "cifar_resnet8" });
        let linear = json!({ "name": "cifar_resnet8", "head": { "out": 64 } });
        let ways = [
            (json!({ "network": network }), "MoCo v2"),
            (json!({ "network": network, "version": 1 }), "MoCo v1"),
            (json!({ "network": linear }), "MoCo v1"),
            (json!({ "network": network, "objective": "swav" }), "SwAV"),
            (
                json!({ "network": network, "objective": "supervised" }),
                "labels",
            ),
        ];
        for (params, way) in ways {
            material.sources.push(example::pretrain("tried", params));
            let catalogue = material.catalogue();
            assert_eq!(learned(&catalogue, catalogue.source("tried").unwrap()), way);
            material.sources.pop();
        }
    }

    #[test]
    fn soft_labels_are_of_a_teacher_whatever_slot_they_come_by() {
        let mut material = example::material();
        material.sources.extend([
            example::finetune("alone", 0.0, &[("views", "views", "views")]),
            example::finetune(
                "unused",
                0.0,
                &[("teacher_features", "targets", "embeddings")],
            ),
            example::finetune(
                "taught",
                0.5,
                &[("teacher_logits", "untrained", "embeddings")],
            ),
            example::finetune("from_teacher", 0.0, &[("weights", "teacher", "weights")]),
            example::finetune("further", 0.0, &[("weights", "from_teacher", "weights")]),
        ]);
        let material = material.catalogue();
        let of = |stage: &str| material.source(stage).unwrap();
        let roles = ["alone", "unused", "taught", "from_teacher", "untrained"];
        assert_eq!(
            roles.map(|stage| role(&material, of(stage)).name()),
            ["baseline", "baseline", "student", "baseline", "teacher"]
        );
        assert_eq!(learned(&material, of("unused")), "labels alone");
        assert_eq!(learned(&material, of("taught")), "labels and soft labels");
        for (stage, alone) in [
            ("alone", true),
            ("unused", true),
            ("taught", false),
            ("from_teacher", false),
            ("further", false),
            ("student", false),
            ("untrained", false),
        ] {
            assert_eq!(learned_alone(&material, of(stage)), alone, "{stage}");
        }
    }
}
