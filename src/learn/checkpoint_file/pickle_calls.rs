//! The calls of a pickle: those that build tensors and containers from plain data, and no others.

use seedpipe_base::Refusal;

use super::pickle::{Global, Object, PickleStorage, TensorReference, Value};
use super::pickle_machine::{PickleMachine, wrong};
use super::refused;

/// Tensors have no more dimensions, storages no longer keys.
const MOST_DIMENSIONS: usize = 32;
const LONGEST_KEY: usize = 256;

fn named(module: &str, name: &str) -> Object {
    match Global::named(module, name) {
        Some(global) => Object::Global(global),
        None => Object::Foreign(format!("{module}.{name}")),
    }
}

impl PickleMachine<'_> {
    /// Opcodes that name something or ask for a call; most of what there is, is refused.
    pub(super) fn global_or_call(&mut self, opcode: u8) -> Result<(), Refusal> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_object(named(module, name));
                Ok(())
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                self.push_object(named(self.text(module)?, self.text(name)?));
                Ok(())
            }
            b'Q' => self.persistent(),
            // `0x81` makes an object of a class: as the call of it.
            b'R' | 0x81 => self.call(),
            b'b' => {
                let state = self.pop()?;
                match self.top()? {
                    Value::Opaque => Ok(()),
                    Value::Object(index) => match self.objects[index] {
                        // The attributes of a dictionary (`_metadata`) say nothing about tensors.
                        Object::Dict(_) => Ok(()),
                        // A foreign object is its attributes: a program's arguments, a module.
                        Object::Made(_) => {
                            let attributes = self.attributes(state)?;
                            self.copy_of(attributes.len())?;
                            self.objects[index] = Object::Dict(attributes);
                            Ok(())
                        }
                        _ => Err(wrong("state for something that is no dictionary")),
                    },
                    _ => Err(wrong("state for something that is no dictionary")),
                }
            }
            // `i` and `o` name a class as `c` does, 0x92 makes one by keywords: no tensor needs
            // them.
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                Err(refused(&format!("{module}.{name}")))
            }
            b'o' | 0x92 => Err(refused("the construction of an object")),
            0x82..=0x84 => Err(refused("an extension registry")),
            other => Err(wrong(&format!("opcode {other:#04x}"))),
        }
    }

    /// Accounts for the copy of a container that the pickle may share.
    fn copy_of(&mut self, entries: usize) -> Result<(), Refusal> {
        self.copies = self
            .copies
            .checked_sub(entries)
            .ok_or_else(|| wrong("a container is copied again and again"))?;
        Ok(())
    }

    fn numbers(&self, value: Value) -> Result<Vec<i64>, Refusal> {
        let integer = |value: &Value| match value {
            Value::Int(number) => Ok(*number),
            _ => Err(wrong("expected an integer")),
        };
        let items = self.tuple(value)?;
        if items.len() > MOST_DIMENSIONS {
            return Err(wrong("a tensor of too many dimensions"));
        }
        items.iter().map(integer).collect()
    }

    /// A persistent id: `('storage', type, key, location, elements[, view])`.
    fn persistent(&mut self) -> Result<(), Refusal> {
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
        let Value::Int(elements) = items[4] else {
            return Err(wrong("a storage without a length"));
        };
        if items.get(5).is_some_and(|view| *view != Value::None) {
            return Err(wrong(
                "a view of a storage, which PyTorch stopped writing in 2017",
            ));
        }
        let key = self.text(items[2])?.to_owned();
        if key.len() > LONGEST_KEY {
            return Err(wrong("a storage with a long key"));
        }
        self.push_object(Object::PickleStorage(PickleStorage {
            key,
            kind,
            elements,
        }));
        Ok(())
    }

    /// What a foreign object is filled with: a dictionary, or one beside its slots.
    fn attributes(&self, state: Value) -> Result<Vec<(Value, Value)>, Refusal> {
        match state {
            Value::Object(index) => match &self.objects[index] {
                Object::Dict(entries) => Ok(entries.clone()),
                Object::Tuple(parts) => {
                    let parts = parts.iter().filter(|part| **part != Value::None);
                    let parts = parts.map(|part| self.entries(*part));
                    Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
                }
                _ => Ok(vec![]),
            },
            _ => Ok(vec![]),
        }
    }

    /// The entries of a dictionary, or of the pairs that one is made of.
    fn entries(&self, value: Value) -> Result<Vec<(Value, Value)>, Refusal> {
        if let Value::Object(index) = value
            && let Object::Dict(entries) = &self.objects[index]
        {
            return Ok(entries.clone());
        }
        let pair = |pair: &Value| match self.tuple(*pair)? {
            [key, value] => Ok((*key, *value)),
            _ => Err(wrong("an ordered dictionary of something other than pairs")),
        };
        self.tuple(value)?.iter().map(pair).collect()
    }

    /// A call, of which only those that build tensors and containers exist.
    fn call(&mut self) -> Result<(), Refusal> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let arguments = self.tuple(arguments)?.to_vec();
        let no_function = || wrong("a call of something that is no function");
        let Value::Object(index) = function else {
            return Err(no_function());
        };
        let global = match &self.objects[index] {
            Object::Global(global) => *global,
            Object::Foreign(name) if arguments.is_empty() => {
                let made = Object::Made(name.clone());
                self.push_object(made);
                return Ok(());
            }
            Object::Foreign(name) => return Err(refused(name)),
            _ => return Err(no_function()),
        };
        match global {
            Global::Dict => {
                let entries = match arguments.first() {
                    None => vec![],
                    Some(argument) => self.entries(*argument)?,
                };
                self.copy_of(entries.len())?;
                self.push_object(Object::Dict(entries));
            }
            Global::DefaultDict => self.push_object(Object::Dict(vec![])),
            Global::RebuildTensor => {
                let [storage, Value::Int(offset), shape, strides, ..] = arguments[..] else {
                    return Err(wrong("a tensor without storage, offset, shape and strides"));
                };
                let storage = match storage {
                    Value::Object(index) => match &self.objects[index] {
                        Object::PickleStorage(storage) => storage.clone(),
                        _ => return Err(wrong("a tensor without storage")),
                    },
                    _ => return Err(wrong("a tensor without storage")),
                };
                let (shape, strides) = (self.numbers(shape)?, self.numbers(strides)?);
                self.push_object(Object::Tensor(TensorReference {
                    storage,
                    offset,
                    shape,
                    strides,
                }));
            }
            Global::RebuildParameter => {
                let tensor = *arguments
                    .first()
                    .ok_or_else(|| wrong("a parameter without data"))?;
                self.push(tensor);
            }
            Global::Size => {
                let items = self
                    .tuple(
                        *arguments
                            .first()
                            .ok_or_else(|| wrong("a size without lengths"))?,
                    )?
                    .to_vec();
                self.copy_of(items.len())?;
                self.push_object(Object::Tuple(items));
            }
            Global::Opaque => self.push(Value::Opaque),
            Global::StorageType(_) | Global::Dtype => return Err(wrong("a call of a type")),
        }
        Ok(())
    }
}
