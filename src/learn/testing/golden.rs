//! Reading of the golden values: the folder in `SEEDPIPE_FIXTURES` when it is set, else the
//! committed copy. Every parameter comes from the fixture's json, so that a set with other seeds
//! tests the same claims.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;
use serde_json::Value;
use tch::{Kind, Tensor};

use super::formula::weights;

pub(crate) struct Fixture {
    pub json: Value,
    pub tensors: BTreeMap<String, Tensor>,
}

impl Fixture {
    /// `<name>.json` and `<name>.safetensors`.
    pub(crate) fn load(name: &str) -> Self {
        Self::load_from(folder(), name)
    }

    /// The same of this crate's own testdata.
    pub(crate) fn of_testdata(name: &str) -> Self {
        Self::load_from(
            concat!(env!("CARGO_MANIFEST_DIR"), "/testdata").into(),
            name,
        )
    }

    fn load_from(folder: PathBuf, name: &str) -> Self {
        let text = fs_err::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let path = folder.join(format!("{name}.safetensors"));
        let tensors = if path.exists() {
            Tensor::read_safetensors(path)
                .unwrap()
                .into_iter()
                .collect()
        } else {
            BTreeMap::new()
        };
        Self {
            json: serde_json::from_str(&text).unwrap(),
            tensors,
        }
    }

    /// The json's cases, at least one.
    pub(crate) fn cases(&self) -> &[Value] {
        let cases = self.json.as_array().expect("a list of cases");
        assert!(!cases.is_empty(), "no case");
        cases
    }

    /// A number of the json's object.
    pub(crate) fn number(&self, key: &str) -> f64 {
        self.json[key]
            .as_f64()
            .unwrap_or_else(|| panic!("`{key}` is no number"))
    }

    /// A copy, so that one test's gradients are not another's.
    pub(crate) fn tensor(&self, name: &str) -> Tensor {
        let found = self.tensors.get(name);
        found.unwrap_or_else(|| panic!("no tensor `{name}`")).copy()
    }

    /// The difference's length is at most `tolerance` of the expected gradient's.
    pub(crate) fn assert_gradient(
        &self,
        place: &str,
        gradient: &Tensor,
        expected: &str,
        tolerance: f64,
    ) {
        let expected = self.tensor(expected);
        assert_eq!(gradient.size(), expected.size(), "{place}");
        let length = |tensor: &Tensor| tensor.norm().double_value(&[]);
        let difference = length(&(gradient.to_kind(Kind::Double) - &expected)) / length(&expected);
        assert!(
            difference <= tolerance,
            "{place}: the gradient is off by {difference:e} of its length"
        );
    }
}

/// A named case of a fixture in one precision.
pub(crate) struct Case<'a> {
    fixture: &'a Fixture,
    name: &'a str,
    kind: Kind,
    learned: BTreeMap<&'a str, Tensor>,
}

impl Case<'_> {
    /// The case's tensor; those whose gradients are compared are leaves.
    pub(crate) fn tensor(&self, part: &str) -> Tensor {
        match self.learned.get(part) {
            Some(leaf) => leaf.shallow_clone(),
            None => self
                .fixture
                .tensor(&format!("{}.{part}", self.name))
                .to_kind(self.kind),
        }
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        let case = self
            .fixture
            .cases()
            .iter()
            .find(|case| case["name"] == self.name);
        case.and_then(|case| case[key].as_f64())
            .unwrap_or_else(|| panic!("`{}.{key}` is no number", self.name))
    }
}

impl Fixture {
    /// A loss and its gradients by `learned` (`NAME.grad_<tensor>`) are the case's: within 1e-10 in
    /// f64 and 1e-5 in f32.
    pub(crate) fn assert_loss(&self, name: &str, learned: &[&str], loss: impl Fn(&Case) -> Tensor) {
        for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
            let leaf = |part: &&str| {
                let tensor = self.tensor(&format!("{name}.{part}")).to_kind(kind);
                tensor.set_requires_grad(true)
            };
            let case = Case {
                fixture: self,
                name,
                kind,
                learned: learned.iter().map(|&part| (part, leaf(&part))).collect(),
            };
            let value = loss(&case);
            value.backward();
            let place = format!("{name} in {kind:?}");
            assert_close(
                &place,
                value.double_value(&[]),
                case.number("loss"),
                tolerance,
            );
            for (part, leaf) in &case.learned {
                let expected = format!("{name}.grad_{part}");
                self.assert_gradient(&place, &leaf.grad(), &expected, tolerance);
            }
        }
    }
}

/// Within `tolerance`: absolute where it asks for f64's precision, relative otherwise.
pub(crate) fn assert_close(place: &str, got: f64, expected: f64, tolerance: f64) {
    let bound = if tolerance < 1e-8 {
        tolerance
    } else {
        tolerance * expected.abs()
    };
    assert!(
        (got - expected).abs() <= bound,
        "{place}: got {got}, expected {expected} within {bound:e}"
    );
}

fn folder() -> PathBuf {
    std::env::var_os("SEEDPIPE_FIXTURES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures")),
        PathBuf::from,
    )
}

/// The weight that the fixtures give a tensor of this name, in f64 (see
/// `tests/fixtures/README.md`).
pub(crate) fn formula_weight(name: &str, shape: &[i64], salt: u64) -> Tensor {
    let values: Vec<f64> = weights(name, shape, salt).collect();
    Tensor::from_slice(&values).reshape(shape)
}
