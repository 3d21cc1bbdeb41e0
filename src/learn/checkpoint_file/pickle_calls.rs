//! The calls of a pickle: those that build tensors and containers from plain data, and no others.

use seedpipe_base::Refusal;

use super::pickle::{Global, Object, PickleStorage, TensorReference, Value};
use super::pickle_machine::{PickleMachine, wrong};
use super::refused;

/// Tensors have no more dimensions, storages no longer keys.
const MOST_DIMENSIONS: usize = 32;
const LONGEST_KEY: usize = 256;

impl PickleMachine<'_> {
    /// Opcodes that name something or ask for a call; most of what there is, is refused.
    pub(super) fn global_or_call(&mut self, opcode: u8) -> Result<(), Refusal> {
        match opcode {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_object(Object::Global(Global::named(module, name)?));
                Ok(())
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let global = Global::named(self.text(module)?, self.text(name)?)?;
                self.push_object(Object::Global(global));
                Ok(())
            }
            b'Q' => self.persistent(),
            b'R' => self.call(),
            // The attributes of an ordered dictionary (`_metadata`) say nothing about tensors.
            b'b' => {
                self.pop()?;
                match self.top()? {
                    Value::Object(index) if matches!(self.objects[index], Object::Dict(_)) => {
                        Ok(())
                    }
                    _ => Err(wrong("state for something that is no dictionary")),
                }
            }
            // `i` and `o` name a class as `c` does, 0x81 and 0x92 construct one: no tensor needs
            // them.
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                Err(refused(&format!("{module}.{name}")))
            }
            b'o' | 0x81 | 0x92 => Err(refused("the construction of an object")),
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

    /// A call, of which only those that build tensors and containers exist.
    fn call(&mut self) -> Result<(), Refusal> {
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
                            _ => {
                                return Err(wrong(
                                    "an ordered dictionary of something other than pairs",
                                ));
                            }
                        }
                    }
                }
                self.copy_of(entries.len())?;
                self.push_object(Object::Dict(entries));
            }
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
            Global::Device => self.push(Value::Opaque),
            Global::StorageType(_) | Global::Dtype => return Err(wrong("a call of a type")),
        }
        Ok(())
    }
}
