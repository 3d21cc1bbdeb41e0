//! Python's pickle format, as far as `torch.save` needs it: tensors, storages and containers, and nothing else.
//!
//! This machine builds plain data and calls nothing. A global outside the short list in [`Global::named`] is refused by
//! name. Objects live in one list and are referred to by index, so that memory is bounded by the pickle's length whatever
//! it shares; [`Pickled::tensors`] bounds depth and visits.

use std::collections::{BTreeMap, HashMap};

use tch::Kind;

use super::Fault;

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
    Storage(Storage),
    Tensor(TensorReference),
}

/// The names that a pickle may ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    StorageType(Kind),
    Size,
    Dtype,
    Device,
}

impl Global {
    fn named(module: &str, name: &str) -> Result<Self, Fault> {
        let storage = |kind| Ok(Global::StorageType(kind));
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
            ("torch", "Size") => Ok(Global::Size),
            ("torch", "device") => Ok(Global::Device),
            (
                "torch",
                "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "int16" | "int8" | "uint8" | "bool",
            ) => Ok(Global::Dtype),
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
            _ => Err(Fault::Refused(format!("{module}.{name}"))),
        }
    }
}

/// A block of numbers elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Storage {
    pub key: String,
    pub kind: Kind,
    pub elements: i64,
}

/// A strided look at a storage; offset and strides count elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TensorReference {
    pub storage: Storage,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
}

/// What a pickle held, and where it ended.
#[derive(Debug)]
pub(super) struct Pickled {
    objects: Vec<Object>,
    root: Value,
    pub length: usize,
}

/// Containers nested deeper than this are no checkpoint.
const DEEPEST: usize = 64;

impl Pickled {
    fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(index),
            _ => None,
        }
    }

    /// The texts of a list, such as the legacy layout's storage keys.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        let Some(Object::List(items)) = self.object(self.root) else { return None };
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
        let Some(Object::Dict(entries)) = self.object(self.root) else { return None };
        entries.iter().rev().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// Every tensor by the path of keys and positions that leads to it, joined by `.`.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, &TensorReference>, Fault> {
        let mut found = BTreeMap::new();
        // Shared or cyclic containers could be walked for ever.
        let mut visits = 16 + 4 * self.objects.len();
        let mut open = vec![(String::new(), 0, self.root)];
        while let Some((name, depth, value)) = open.pop() {
            let Some(object) = self.object(value) else { continue };
            if depth > DEEPEST {
                return Err(Fault::damaged(format!("containers are nested more than {DEEPEST} deep")));
            }
            visits = visits
                .checked_sub(1)
                .ok_or_else(|| Fault::damaged("the pickle refers to its containers again and again"))?;
            let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
            match object {
                Object::Tensor(tensor) => {
                    let name = if name.is_empty() { "tensor".to_owned() } else { name };
                    if found.insert(name.clone(), tensor).is_some() {
                        return Err(Fault::damaged(format!("two tensors are called `{name}`")));
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
                Object::Text(_) | Object::Global(_) | Object::Storage(_) => {}
            }
        }
        Ok(found)
    }
}

/// Reads one pickle from the start of `bytes`.
pub(super) fn load(bytes: &[u8]) -> Result<Pickled, Fault> {
    let mut machine = Machine { bytes, position: 0, stack: vec![], marks: vec![], memo: HashMap::new(), objects: vec![] };
    let root = machine.run()?;
    Ok(Pickled { objects: machine.objects, root, length: machine.position })
}

struct Machine<'bytes> {
    bytes: &'bytes [u8],
    position: usize,
    stack: Vec<Value>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    objects: Vec<Object>,
}

fn short() -> Fault {
    Fault::damaged("the pickle ends too early")
}

fn wrong(what: &str) -> Fault {
    Fault::damaged(format!("the pickle is malformed: {what}"))
}

impl<'bytes> Machine<'bytes> {
    fn take(&mut self, count: usize) -> Result<&'bytes [u8], Fault> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.bytes.len()).ok_or_else(short)?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    /// A little-endian number of `count` ≤ 8 bytes, without sign.
    fn number(&mut self, count: usize) -> Result<u64, Fault> {
        let bytes = self.take(count)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, count: usize) -> Result<usize, Fault> {
        usize::try_from(self.number(count)?).map_err(|_| short())
    }

    fn line(&mut self) -> Result<&'bytes str, Fault> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(short)?;
        self.position += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| wrong("a line that is not UTF-8"))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn push_object(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(Value::Object(self.objects.len() - 1));
    }

    fn push_text(&mut self, count: usize) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(self.take(count)?).into_owned();
        self.push_object(Object::Text(text));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(wrong("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| wrong("the stack is empty"))
    }

    fn top(&self) -> Result<Value, Fault> {
        self.stack.last().copied().ok_or_else(|| wrong("the stack is empty"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let height = self.marks.pop().ok_or_else(|| wrong("no mark"))?;
        Ok(self.stack.split_off(height))
    }

    fn tuple(&self, value: Value) -> Result<&[Value], Fault> {
        match value {
            Value::Object(index) => match &self.objects[index] {
                Object::Tuple(items) | Object::List(items) => Ok(items),
                _ => Err(wrong("expected a tuple")),
            },
            _ => Err(wrong("expected a tuple")),
        }
    }

    fn text(&self, value: Value) -> Result<&str, Fault> {
        match value {
            Value::Object(index) => match &self.objects[index] {
                Object::Text(text) => Ok(text),
                _ => Err(wrong("expected text")),
            },
            _ => Err(wrong("expected text")),
        }
    }

    fn numbers(&self, value: Value) -> Result<Vec<i64>, Fault> {
        let integer = |value: &Value| match value {
            Value::Int(number) => Ok(*number),
            _ => Err(wrong("expected an integer")),
        };
        self.tuple(value)?.iter().map(integer).collect()
    }

    fn memorise(&mut self, slot: u64) -> Result<(), Fault> {
        let value = self.top()?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u64) -> Result<(), Fault> {
        let value = *self.memo.get(&slot).ok_or_else(|| wrong("an unknown memo"))?;
        self.push(value);
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), Fault> {
        match self.top()? {
            Value::Object(index) => match &mut self.objects[index] {
                Object::List(list) => list.extend(items),
                _ => return Err(wrong("appending to something that is no list")),
            },
            _ => return Err(wrong("appending to something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Fault> {
        match self.top()? {
            Value::Object(index) => match &mut self.objects[index] {
                Object::Dict(entries) if items.len().is_multiple_of(2) => {
                    entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                }
                _ => return Err(wrong("setting items of something that is no dictionary")),
            },
            _ => return Err(wrong("setting items of something that is no dictionary")),
        }
        Ok(())
    }

    /// Runs to the end of the pickle and returns its value.
    fn run(&mut self) -> Result<Value, Fault> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                b'.' => return self.pop(),
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_to_mark()?),
                b'2' => self.push(self.top()?),
                b'N' => self.push(Value::None),
                0x88 => self.push(Value::Bool(true)),
                0x89 => self.push(Value::Bool(false)),
                b'K' | b'M' => {
                    let number = self.number(if opcode == b'K' { 1 } else { 2 })?;
                    self.push(Value::Int(number as i64));
                }
                b'J' => {
                    let number = self.number(4)? as u32 as i32;
                    self.push(Value::Int(i64::from(number)));
                }
                0x8a | 0x8b => {
                    let count = self.length(if opcode == 0x8a { 1 } else { 4 })?;
                    let value = long(self.take(count)?);
                    self.push(value);
                }
                b'I' | b'L' => {
                    let value = decimal(self.line()?)?;
                    self.push(value);
                }
                b'F' => {
                    self.line()?;
                    self.push(Value::Opaque);
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Opaque);
                }
                b'X' | b'T' => {
                    let count = self.length(4)?;
                    self.push_text(count)?;
                }
                0x8c | b'U' => {
                    let count = self.length(1)?;
                    self.push_text(count)?;
                }
                0x8d => {
                    let count = self.length(8)?;
                    self.push_text(count)?;
                }
                b'V' | b'S' => {
                    let text = self.line()?.trim_matches(['\'', '"']).to_owned();
                    self.push_object(Object::Text(text));
                }
                b'B' | b'C' | 0x8e => {
                    let count = self.length(match opcode {
                        b'C' => 1,
                        b'B' => 4,
                        _ => 8,
                    })?;
                    self.take(count)?;
                    self.push(Value::Opaque);
                }
                b'}' => self.push_object(Object::Dict(vec![])),
                b']' => self.push_object(Object::List(vec![])),
                b')' => self.push_object(Object::Tuple(vec![])),
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push_object(Object::Dict(vec![]));
                    self.set_items(&items)?;
                }
                b'l' | b't' => {
                    let items = self.pop_to_mark()?;
                    self.push_object(if opcode == b'l' { Object::List(items) } else { Object::Tuple(items) });
                }
                0x85..=0x87 => {
                    let mut items = vec![];
                    for _ in 0x85..=opcode {
                        items.push(self.pop()?);
                    }
                    items.reverse();
                    self.push_object(Object::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_to_mark()?;
                    self.append(items)?;
                }
                b's' => {
                    let value = self.pop()?;
                    let key = self.pop()?;
                    self.set_items(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                b'q' | b'r' => {
                    let slot = self.number(if opcode == b'q' { 1 } else { 4 })?;
                    self.memorise(slot)?;
                }
                b'p' => {
                    let slot = slot(self.line()?)?;
                    self.memorise(slot)?;
                }
                0x94 => self.memorise(self.memo.len() as u64)?,
                b'h' | b'j' => {
                    let slot = self.number(if opcode == b'h' { 1 } else { 4 })?;
                    self.recall(slot)?;
                }
                b'g' => {
                    let slot = slot(self.line()?)?;
                    self.recall(slot)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push_object(Object::Global(Global::named(module, name)?));
                }
                0x93 => {
                    let name = self.pop()?;
                    let module = self.pop()?;
                    let global = Global::named(self.text(module)?, self.text(name)?)?;
                    self.push_object(Object::Global(global));
                }
                b'Q' => self.persistent()?,
                b'R' => self.call()?,
                // The attributes of an ordered dictionary (`_metadata`) say nothing about tensors.
                b'b' => {
                    self.pop()?;
                    match self.top()? {
                        Value::Object(index) if matches!(self.objects[index], Object::Dict(_)) => {}
                        _ => return Err(wrong("state for something that is no dictionary")),
                    }
                }
                // `i` and `o` name a class as `c` does, `0x81` and `0x92` construct one: no tensor needs them.
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?);
                    return Err(Fault::Refused(format!("{module}.{name}")));
                }
                b'o' | 0x81 | 0x92 => return Err(Fault::Refused("the construction of an object".to_owned())),
                0x82..=0x84 => return Err(Fault::Refused("an extension registry".to_owned())),
                other => return Err(wrong(&format!("opcode {other:#04x}"))),
            }
        }
    }

    /// A persistent id: `('storage', type, key, location, elements[, view])`.
    fn persistent(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let items = self.tuple(id)?;
        if items.len() < 5 || self.text(items[0])? != "storage" {
            return Err(wrong("a persistent id that is no storage"));
        }
        let kind = match items[1] {
            Value::Object(index) => match self.objects[index] {
                Object::Global(Global::StorageType(kind)) => kind,
                _ => return Err(wrong("a storage without a type")),
            },
            _ => return Err(wrong("a storage without a type")),
        };
        let Value::Int(elements) = items[4] else { return Err(wrong("a storage without a length")) };
        if items.get(5).is_some_and(|view| *view != Value::None) {
            return Err(wrong("a view of a storage, which PyTorch stopped writing in 2017"));
        }
        let key = self.text(items[2])?.to_owned();
        self.push_object(Object::Storage(Storage { key, kind, elements }));
        Ok(())
    }

    /// A call, of which only those that build tensors and containers exist.
    fn call(&mut self) -> Result<(), Fault> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let arguments = self.tuple(arguments)?.to_vec();
        let global = match function {
            Value::Object(index) => match self.objects[index] {
                Object::Global(global) => global,
                _ => return Err(wrong("a call of something that is no function")),
            },
            _ => return Err(wrong("a call of something that is no function")),
        };
        match global {
            Global::OrderedDict => {
                let mut entries = vec![];
                if let Some(pairs) = arguments.first() {
                    for pair in self.tuple(*pairs)? {
                        match self.tuple(*pair)? {
                            [key, value] => entries.push((*key, *value)),
                            _ => return Err(wrong("an ordered dictionary of something other than pairs")),
                        }
                    }
                }
                self.push_object(Object::Dict(entries));
            }
            Global::RebuildTensor => {
                let [storage, Value::Int(offset), shape, strides, ..] = arguments[..] else {
                    return Err(wrong("a tensor without storage, offset, shape and strides"));
                };
                let storage = match storage {
                    Value::Object(index) => match &self.objects[index] {
                        Object::Storage(storage) => storage.clone(),
                        _ => return Err(wrong("a tensor without storage")),
                    },
                    _ => return Err(wrong("a tensor without storage")),
                };
                let (shape, strides) = (self.numbers(shape)?, self.numbers(strides)?);
                self.push_object(Object::Tensor(TensorReference { storage, offset, shape, strides }));
            }
            Global::RebuildParameter => {
                let tensor = *arguments.first().ok_or_else(|| wrong("a parameter without data"))?;
                self.push(tensor);
            }
            Global::Size => {
                let items = self.tuple(*arguments.first().ok_or_else(|| wrong("a size without lengths"))?)?.to_vec();
                self.push_object(Object::Tuple(items));
            }
            Global::Device => self.push(Value::Opaque),
            Global::StorageType(_) | Global::Dtype => return Err(wrong("a call of a type")),
        }
        Ok(())
    }
}

/// A little-endian two's-complement integer.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Opaque;
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(wide))
}

fn decimal(line: &str) -> Result<Value, Fault> {
    match line {
        "00" => Ok(Value::Bool(false)),
        "01" => Ok(Value::Bool(true)),
        digits => {
            let digits = digits.strip_suffix('L').unwrap_or(digits);
            digits.parse().map(Value::Int).map_err(|_| wrong("a number that is none"))
        }
    }
}

fn slot(line: &str) -> Result<u64, Fault> {
    line.parse().map_err(|_| wrong("a memo that is no number"))
}
