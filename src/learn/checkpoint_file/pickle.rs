//! Python's pickle format, as far as `torch.save` needs it: tensors, storages and containers, and
//! nothing else.
//!
//! What a pickle may hold and how its tensors are found; `pickle_machine` reads it. No global is
//! looked up, whatever its name: those of [`Global::named`] mean what is written here. Any other may
//! be named, and made without arguments to be filled with plain data (a subclass of a dictionary, a
//! program's arguments, a module); a call of it with arguments is refused by name. Objects live in one list and are
//! referred to by index, so that memory is bounded by the pickle's length whatever it shares;
//! [`Pickled::tensors`] bounds depth, visits and names.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use tch::Kind;

use super::{damaged, refused};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A float, an integer beyond 64 bits, bytes: carried along, never looked at.
    Opaque,
    Object(usize),
}

#[derive(Debug)]
pub(super) enum Object {
    Text(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(Global),
    PickleStorage(PickleStorage),
    Tensor(TensorReference),
    /// A class or function that is not known, by its full name.
    Foreign(String),
    /// Made of the foreign class, and not yet filled.
    Made(String),
}

/// The names that a pickle may ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    /// A dictionary of pairs, or of another dictionary.
    Dict,
    /// A dictionary whose first argument says what a missing entry is.
    DefaultDict,
    /// What is made of plain data, and holds no tensor: a number, a text, a path.
    Opaque,
    RebuildTensor,
    RebuildParameter,
    StorageType(Kind),
    Size,
    Dtype,
}

impl Global {
    /// None of what is foreign.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        let storage = |kind| Some(Global::StorageType(kind));
        match (module, name) {
            ("collections", "OrderedDict" | "Counter") => Some(Global::Dict),
            ("builtins" | "__builtin__", "dict") => Some(Global::Dict),
            ("collections", "defaultdict") => Some(Global::DefaultDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
                Some(Global::RebuildTensor)
            }
            ("torch._utils", "_rebuild_parameter") => Some(Global::RebuildParameter),
            ("torch", "Size") => Some(Global::Size),
            ("torch", "device") | ("numpy", "dtype") | ("_codecs", "encode") => {
                Some(Global::Opaque)
            }
            ("builtins" | "__builtin__", "set" | "frozenset") => Some(Global::Opaque),
            ("pathlib", "PosixPath" | "WindowsPath" | "PurePosixPath" | "PureWindowsPath") => {
                Some(Global::Opaque)
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct") => {
                Some(Global::Opaque)
            }
            (
                "torch",
                "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "int16"
                | "int8" | "uint8" | "bool",
            ) => Some(Global::Dtype),
            ("torch" | "torch.cuda", "DoubleStorage") => storage(Kind::Double),
            ("torch" | "torch.cuda", "FloatStorage") => storage(Kind::Float),
            ("torch" | "torch.cuda", "HalfStorage") => storage(Kind::Half),
            ("torch" | "torch.cuda", "BFloat16Storage") => storage(Kind::BFloat16),
            ("torch" | "torch.cuda", "LongStorage") => storage(Kind::Int64),
            ("torch" | "torch.cuda", "IntStorage") => storage(Kind::Int),
            ("torch" | "torch.cuda", "ShortStorage") => storage(Kind::Int16),
            ("torch" | "torch.cuda", "CharStorage") => storage(Kind::Int8),
            ("torch" | "torch.cuda", "ByteStorage") => storage(Kind::Uint8),
            ("torch" | "torch.cuda", "BoolStorage") => storage(Kind::Bool),
            _ => None,
        }
    }
}

/// A block of numbers elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PickleStorage {
    pub key: String,
    pub kind: Kind,
    pub elements: i64,
}

/// A strided look at a storage; offset and strides count elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorReference {
    pub storage: PickleStorage,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
}

/// What a pickle held, and where it ended.
#[derive(Debug)]
pub(super) struct Pickled {
    pub objects: Vec<Object>,
    pub root: Value,
    /// Bytes that the pickle took.
    pub length: usize,
}

/// Containers nested deeper than this are no checkpoint.
const DEEPEST: usize = 64;
/// Names longer than this are no tensor's.
const LONGEST_NAME: usize = 1024;

impl Pickled {
    fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    /// The texts of a list, such as the legacy layout's storage keys.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        let Some(Object::List(items)) = self.object(self.root) else {
            return None;
        };
        items.iter().map(|item| self.text(*item)).collect()
    }

    fn text(&self, value: Value) -> Option<&str> {
        match self.object(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The value of a key, where the root is a dictionary.
    pub(super) fn entry(&self, key: &str) -> Option<Value> {
        let Some(Object::Dict(entries)) = self.object(self.root) else {
            return None;
        };
        entries
            .iter()
            .rev()
            .find(|(name, _)| self.text(*name) == Some(key))
            .map(|(_, value)| *value)
    }

    /// Every tensor by the path of keys and positions that leads to it, joined by `.`.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, &TensorReference>, Refusal> {
        let mut found = BTreeMap::new();
        // Shared or cyclic containers could be walked for ever.
        let mut visits = 16 + 4 * self.objects.len();
        let mut open = vec![(String::new(), 0, self.root)];
        while let Some((name, depth, value)) = open.pop() {
            let Some(object) = self.object(value) else {
                continue;
            };
            if depth > DEEPEST {
                return Err(damaged(format!(
                    "containers are nested more than {DEEPEST} deep"
                )));
            }
            if name.len() > LONGEST_NAME {
                return Err(damaged(format!(
                    "a tensor's name has more than {LONGEST_NAME} bytes"
                )));
            }
            visits = visits
                .checked_sub(1)
                .ok_or_else(|| damaged("the pickle refers to its containers again and again"))?;
            let below = |key: &str| {
                if name.is_empty() {
                    key.to_owned()
                } else {
                    format!("{name}.{key}")
                }
            };
            match object {
                Object::Tensor(tensor) => {
                    let name = if name.is_empty() {
                        "tensor".to_owned()
                    } else {
                        name
                    };
                    if found.insert(name.clone(), tensor).is_some() {
                        return Err(damaged(format!("two tensors are called `{name}`")));
                    }
                }
                Object::List(items) | Object::Tuple(items) => {
                    for (position, item) in items.iter().enumerate() {
                        if matches!(item, Value::Object(_)) {
                            open.push((below(&position.to_string()), depth + 1, *item));
                        }
                    }
                }
                Object::Dict(entries) => {
                    let mut last: BTreeMap<String, Value> = BTreeMap::new();
                    for (key, value) in entries {
                        let key = match key {
                            Value::Int(number) => number.to_string(),
                            other => match self.text(*other) {
                                Some(text) => text.to_owned(),
                                None => continue,
                            },
                        };
                        last.insert(key, *value);
                    }
                    for (key, value) in last {
                        if matches!(value, Value::Object(_)) {
                            open.push((below(&key), depth + 1, value));
                        }
                    }
                }
                Object::Made(name) => return Err(refused(name)),
                Object::Text(_)
                | Object::Global(_)
                | Object::Foreign(_)
                | Object::PickleStorage(_) => {}
            }
        }
        Ok(found)
    }
}
