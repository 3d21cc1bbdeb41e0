//! The machine that a pickle is a program for: a stack, marks and a memo. Calls are in
//! `pickle_calls`.

use std::collections::HashMap;

use seedpipe_base::Refusal;

use super::damaged;
use super::pickle::{Object, Pickled, Value};

/// Reads one pickle from the start of `bytes`.
pub(super) fn load(bytes: &[u8]) -> Result<Pickled, Refusal> {
    let mut machine = PickleMachine {
        bytes,
        // Copies of shared containers must not outgrow the pickle.
        copies: 1024 + 8 * bytes.len(),
        position: 0,
        stack: vec![],
        marks: vec![],
        memo: HashMap::new(),
        objects: vec![],
    };
    let root = machine.run()?;
    Ok(Pickled {
        objects: machine.objects,
        root,
        length: machine.position,
    })
}

pub(super) struct PickleMachine<'bytes> {
    bytes: &'bytes [u8],
    position: usize,
    stack: Vec<Value>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pub(super) objects: Vec<Object>,
    /// Container entries that may still be copied.
    pub(super) copies: usize,
}

fn short() -> Refusal {
    damaged("the pickle ends too early")
}

pub(super) fn wrong(what: &str) -> Refusal {
    damaged(format!("the pickle is malformed: {what}"))
}

impl<'bytes> PickleMachine<'bytes> {
    fn take(&mut self, count: usize) -> Result<&'bytes [u8], Refusal> {
        let end = self
            .position
            .checked_add(count)
            .filter(|end| *end <= self.bytes.len())
            .ok_or_else(short)?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    /// A little-endian number of `count` ≤ 8 bytes, without sign.
    fn number(&mut self, count: usize) -> Result<u64, Refusal> {
        let bytes = self.take(count)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, count: usize) -> Result<usize, Refusal> {
        usize::try_from(self.number(count)?).map_err(|_| short())
    }

    pub(super) fn line(&mut self) -> Result<&'bytes str, Refusal> {
        let rest = &self.bytes[self.position..];
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(short)?;
        self.position += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| wrong("a line that is not UTF-8"))
    }

    pub(super) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub(super) fn push_object(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(Value::Object(self.objects.len() - 1));
    }

    pub(super) fn pop(&mut self) -> Result<Value, Refusal> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(wrong("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| wrong("the stack is empty"))
    }

    pub(super) fn top(&self) -> Result<Value, Refusal> {
        self.stack
            .last()
            .copied()
            .ok_or_else(|| wrong("the stack is empty"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, Refusal> {
        let height = self.marks.pop().ok_or_else(|| wrong("no mark"))?;
        Ok(self.stack.split_off(height))
    }

    pub(super) fn tuple(&self, value: Value) -> Result<&[Value], Refusal> {
        match value {
            Value::Object(index) => match &self.objects[index] {
                Object::Tuple(items) | Object::List(items) => Ok(items),
                _ => Err(wrong("expected a tuple")),
            },
            _ => Err(wrong("expected a tuple")),
        }
    }

    pub(super) fn text(&self, value: Value) -> Result<&str, Refusal> {
        match value {
            Value::Object(index) => match &self.objects[index] {
                Object::Text(text) => Ok(text),
                _ => Err(wrong("expected text")),
            },
            _ => Err(wrong("expected text")),
        }
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), Refusal> {
        match self.top()? {
            Value::Object(index) => match &mut self.objects[index] {
                Object::List(list) => list.extend(items),
                made @ Object::Made(_) => *made = Object::List(items),
                _ => return Err(wrong("appending to something that is no list")),
            },
            _ => return Err(wrong("appending to something that is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), Refusal> {
        match self.top()? {
            Value::Object(index) => match &mut self.objects[index] {
                Object::Dict(entries) if items.len().is_multiple_of(2) => {
                    entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                }
                made @ Object::Made(_) if items.len().is_multiple_of(2) => {
                    let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
                    *made = Object::Dict(pairs.collect());
                }
                _ => return Err(wrong("setting items of something that is no dictionary")),
            },
            _ => return Err(wrong("setting items of something that is no dictionary")),
        }
        Ok(())
    }

    /// Runs to the end of the pickle and returns its value.
    fn run(&mut self) -> Result<Value, Refusal> {
        loop {
            match self.take(1)?[0] {
                b'.' => return self.pop(),
                // Protocol version and frame length.
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_to_mark()?),
                b'2' => self.push(self.top()?),
                opcode @ (b'N' | 0x88 | 0x89 | b'K' | b'M' | b'J' | 0x8a | 0x8b | b'I' | b'L'
                | b'F' | b'G') => self.scalar(opcode)?,
                opcode @ (b'X' | b'T' | 0x8c | b'U' | 0x8d | b'V' | b'S' | b'B' | b'C' | 0x8e) => {
                    self.text_or_bytes(opcode)?
                }
                opcode @ (b'}' | b']' | b')' | b'd' | b'l' | b't' | 0x85..=0x87) => {
                    self.container(opcode)?
                }
                opcode @ (b'a' | b'e' | b's' | b'u') => self.fill(opcode)?,
                opcode @ (b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g') => self.memory(opcode)?,
                opcode => self.global_or_call(opcode)?,
            }
        }
    }

    fn scalar(&mut self, opcode: u8) -> Result<(), Refusal> {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8a | 0x8b => {
                let count = self.length(if opcode == 0x8a { 1 } else { 4 })?;
                long(self.take(count)?)
            }
            b'I' | b'L' => decimal(self.line()?)?,
            b'F' => {
                self.line()?;
                Value::Opaque
            }
            _ => {
                self.take(8)?;
                Value::Opaque
            }
        };
        self.push(value);
        Ok(())
    }

    fn text_or_bytes(&mut self, opcode: u8) -> Result<(), Refusal> {
        if matches!(opcode, b'V' | b'S') {
            let text = self.line()?.trim_matches(['\'', '"']).to_owned();
            self.push_object(Object::Text(text));
            return Ok(());
        }
        let count = self.length(match opcode {
            0x8c | b'U' | b'C' => 1,
            0x8d | 0x8e => 8,
            _ => 4,
        })?;
        let bytes = self.take(count)?;
        match opcode {
            b'B' | b'C' | 0x8e => self.push(Value::Opaque),
            _ => self.push_object(Object::Text(String::from_utf8_lossy(bytes).into_owned())),
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<(), Refusal> {
        match opcode {
            b'}' => self.push_object(Object::Dict(vec![])),
            b']' => self.push_object(Object::List(vec![])),
            b')' => self.push_object(Object::Tuple(vec![])),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push_object(Object::Dict(vec![]));
                self.set_items(&items)?;
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push_object(Object::List(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_object(Object::Tuple(items));
            }
            // A tuple of one, two or three.
            _ => {
                let mut items = vec![];
                for _ in 0x85..=opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push_object(Object::Tuple(items));
            }
        }
        Ok(())
    }

    fn fill(&mut self, opcode: u8) -> Result<(), Refusal> {
        match opcode {
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])
            }
            _ => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)
            }
        }
    }

    fn memory(&mut self, opcode: u8) -> Result<(), Refusal> {
        let slot = match opcode {
            b'q' | b'h' => self.number(1)?,
            b'r' | b'j' => self.number(4)?,
            0x94 => self.memo.len() as u64,
            _ => slot(self.line()?)?,
        };
        if matches!(opcode, b'h' | b'j' | b'g') {
            let value = *self
                .memo
                .get(&slot)
                .ok_or_else(|| wrong("an unknown memo"))?;
            self.push(value);
        } else {
            let value = self.top()?;
            self.memo.insert(slot, value);
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

fn decimal(line: &str) -> Result<Value, Refusal> {
    match line {
        "00" => Ok(Value::Bool(false)),
        "01" => Ok(Value::Bool(true)),
        digits => {
            let digits = digits.strip_suffix('L').unwrap_or(digits);
            digits
                .parse()
                .map(Value::Int)
                .map_err(|_| wrong("a number that is none"))
        }
    }
}

fn slot(line: &str) -> Result<u64, Refusal> {
    line.parse().map_err(|_| wrong("a memo that is no number"))
}
