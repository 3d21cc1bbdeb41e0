//! A block of params that remembers which of its keys were written, since the defaults of the others
//! depend on params beside it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The block with every default filled in, and the keys that were written.
#[derive(Debug, Default)]
pub struct Written<T> {
    block: T,
    keys: BTreeSet<String>,
}

impl<T> Written<T> {
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }
}

impl<T> Deref for Written<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.block
    }
}

impl<T> DerefMut for Written<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.block
    }
}

impl<T: Serialize> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.block.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Written<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de, T: Deserialize<'de> + JsonSchema> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(block: D) -> Result<Self, D::Error> {
        struct Block<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + JsonSchema> Visitor<'de> for Block<T> {
            type Value = Written<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                write!(formatter, "struct {}", T::schema_name())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written<T>, A::Error> {
                let mut keys = BTreeSet::new();
                let noted = Noted {
                    map,
                    keys: &mut keys,
                };
                let block = T::deserialize(MapAccessDeserializer::new(noted))?;
                Ok(Written { block, keys })
            }
        }

        block.deserialize_map(Block(PhantomData))
    }
}

/// A map whose keys are noted as they pass.
struct Noted<'a, A> {
    map: A,
    keys: &'a mut BTreeSet<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Noted<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        let Some(key) = self.map.next_key::<String>()? else {
            return Ok(None);
        };
        let field = seed.deserialize(key.as_str().into_deserializer())?;
        self.keys.insert(key);
        Ok(Some(field))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
