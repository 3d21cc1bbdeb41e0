//! Objectives of a kind. The params of each are a struct of its own. In pipeline.yaml they lie flat
//! beside the params that all objectives have, and `objective:` says whose they are; a param that
//! only others have is refused.
//!
//! serde flattens no struct that refuses unknown keys, so [`Chosen::read`] sorts the keys while a
//! kind's params are read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// The key that names the objective.
const TAG: &str = "objective";

/// A kind's objectives: an enum that [`objectives!`] declares.
pub trait Objectives: Sized {
    const ABOUT: &'static str;

    /// One of each with its defaults; the first is the default one.
    fn all() -> Vec<Self>;
    /// The one of a name, with its defaults.
    fn named<'de, D: Deserializer<'de>>(name: D) -> Result<Self, D::Error>;
    /// As in pipeline.yaml.
    fn name(&self) -> &'static str;
    /// Of its own params.
    fn schema(&self, generator: &mut SchemaGenerator) -> Schema;
    /// Its defaults of the `training:` block.
    fn training_defaults(&self) -> serde_json::Result<Value>;
    /// The same objective with other params.
    fn read<'de, D: Deserializer<'de>>(&self, params: D) -> Result<Self, D::Error>;
    /// Its own params.
    fn write(&self) -> serde_json::Result<Value>;

    fn is_default(&self) -> bool {
        Self::all()[0].name() == self.name()
    }

    /// Of its own params.
    fn keys(&self) -> BTreeSet<String> {
        let own = properties(self.schema(&mut SchemaGenerator::default()));
        own.into_iter().map(|(key, _)| key).collect()
    }

    /// Names of those that something is true of, for a message.
    fn those(what: impl Fn(&Self) -> bool) -> Vec<String> {
        let those = Self::all().into_iter().filter(what);
        those.map(|one| quoted(one.name())).collect()
    }
}

/// A kind's objectives, a line each: the module, called as in pipeline.yaml, and its struct of
/// [`params!`]. What all declare is the first trait; what they do is the second, which a program
/// without libtorch never names.
macro_rules! objectives {
    (
        #[doc = $about:literal]
        enum $Objective:ident: $Declaration:ident, $Training:ident {
            $($name:ident: $Own:ident,)+
        }
    ) => {
        #[doc = $about]
        #[derive(Debug)]
        pub enum $Objective {
            $($Own($name::$Own),)+
        }

        impl $crate::shared::objectives::Objectives for $Objective {
            const ABOUT: &'static str = $about;

            fn all() -> Vec<Self> {
                vec![$(Self::$Own($name::$Own::default())),+]
            }

            fn named<'de, D: serde::Deserializer<'de>>(name: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[expect(non_camel_case_types, reason = "as in pipeline.yaml")]
                enum Name {
                    $($name,)+
                }
                Ok(match serde::Deserialize::deserialize(name)? {
                    $(Name::$name => Self::$Own($name::$Own::default()),)+
                })
            }

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$Own(_) => stringify!($name),)+
                }
            }

            fn schema(&self, generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                match self {
                    $(Self::$Own(_) => <$name::$Own as schemars::JsonSchema>::json_schema(generator),)+
                }
            }

            fn training_defaults(&self) -> serde_json::Result<serde_json::Value> {
                serde_json::to_value(std::ops::Deref::deref(self).training())
            }

            fn read<'de, D: serde::Deserializer<'de>>(&self, params: D) -> Result<Self, D::Error> {
                match self {
                    $(Self::$Own(_) => serde::Deserialize::deserialize(params).map(Self::$Own),)+
                }
            }

            fn write(&self) -> serde_json::Result<serde_json::Value> {
                match self {
                    $(Self::$Own(own) => serde_json::to_value(own),)+
                }
            }
        }

        impl std::ops::Deref for $Objective {
            type Target = dyn $Declaration;

            fn deref(&self) -> &Self::Target {
                match self {
                    $(Self::$Own(own) => own,)+
                }
            }
        }

        impl std::ops::DerefMut for $Objective {
            fn deref_mut(&mut self) -> &mut Self::Target {
                match self {
                    $(Self::$Own(own) => own,)+
                }
            }
        }

        impl $Objective {
            pub fn work(&self) -> &dyn $Training {
                match self {
                    $(Self::$Own(own) => own,)+
                }
            }
        }
    };
}
pub(crate) use objectives;

/// The struct of an objective's own params, each with its default. The doc comments are the
/// schema's: the objective's says what is learned, a param's goes on after "Of `objective`: ".
macro_rules! params {
    (
        $(#[$about:meta])*
        $Own:ident { $($(#[$attribute:meta])* $key:ident: $Type:ty = $default:expr,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Own {
            $($(#[$attribute])* $key: $Type,)*
        }

        impl Default for $Own {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }
    };
}
pub(crate) use params;

/// Lets a kind's params be read and written. They have `#[serde(deny_unknown_fields, remote =
/// "Self")]`, and the field `#[serde(flatten, skip_deserializing)] #[schemars(!skip_deserializing)]
/// objective: Chosen<…>`.
macro_rules! flat {
    ($Params:ident) => {
        impl<'de> serde::Deserialize<'de> for $Params {
            fn deserialize<D: serde::Deserializer<'de>>(params: D) -> Result<Self, D::Error> {
                struct Flat;

                impl<'de> serde::de::Visitor<'de> for Flat {
                    type Value = $Params;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                        formatter.write_str(concat!("struct ", stringify!($Params)))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        params: A,
                    ) -> Result<$Params, A::Error> {
                        let schema = <$Params as schemars::JsonSchema>::json_schema;
                        let (mut params, objective) =
                            Chosen::read(params, schema, |common| $Params::deserialize(common))?;
                        params.objective = objective;
                        Ok(params)
                    }
                }

                params.deserialize_map(Flat)
            }
        }

        impl serde::Serialize for $Params {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    };
}
pub(crate) use flat;

/// The objective that is asked for.
#[derive(Debug)]
pub struct Chosen<O> {
    objective: O,
    /// What was given that only others have, as it would be written.
    foreign: Map<String, Value>,
}

impl<O: Objectives> Default for Chosen<O> {
    fn default() -> Self {
        let foreign = Map::new();
        let objective = O::all().swap_remove(0);
        Self { objective, foreign }
    }
}

impl<O> Deref for Chosen<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.objective
    }
}

impl<O> DerefMut for Chosen<O> {
    fn deref_mut(&mut self) -> &mut O {
        &mut self.objective
    }
}

impl<O: Objectives> Chosen<O> {
    /// Reads a kind's params, apart from the objective's, and the objective.
    ///
    /// - `schema`: of all params
    /// - `common`: reads those that all objectives have
    pub fn read<'de, A: MapAccess<'de>, P>(
        params: A,
        schema: fn(&mut SchemaGenerator) -> Schema,
        common: impl FnOnce(MapAccessDeserializer<Common<'_, A, O>>) -> Result<P, A::Error>,
    ) -> Result<(P, Self), A::Error> {
        let mut chosen = Self::default();
        let mut own = Map::new();
        let params = common(MapAccessDeserializer::new(Common {
            params,
            schema,
            owners: O::all().into_iter().map(|one| (one.keys(), one)).collect(),
            chosen: &mut chosen.objective,
            own: &mut own,
        }))?;
        let keys = chosen.keys();
        let (own, foreign) = own.into_iter().partition(|(key, _)| keys.contains(key));
        chosen.objective = chosen
            .objective
            .read(Value::Object(own))
            .map_err(Error::custom)?;
        chosen.foreign = foreign;
        Ok((params, chosen))
    }

    /// A param that the objective hasn't, with its value for a message.
    pub fn foreign(&self) -> Option<(&str, String)> {
        let (key, value) = self.foreign.iter().next()?;
        let got = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some((key, got))
    }
}

/// A kind's params that all objectives have. The others are put aside on the way, as one of their
/// owners writes them: what is wrong must be told while they are read, since only then their path
/// is known.
pub struct Common<'a, A, O> {
    params: A,
    schema: fn(&mut SchemaGenerator) -> Schema,
    owners: Vec<(BTreeSet<String>, O)>,
    chosen: &'a mut O,
    own: &'a mut Map<String, Value>,
}

impl<'de, A: MapAccess<'de>, O: Objectives> MapAccess<'de> for Common<'_, A, O> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        while let Some(key) = self.params.next_key::<String>()? {
            if key == TAG {
                *self.chosen = self.params.next_value::<Named<O>>()?.0;
            } else if let Some((_, owner)) =
                self.owners.iter().find(|(keys, _)| keys.contains(&key))
            {
                let value = self.params.next_value_seed(Own { owner, key: &key })?;
                self.own.extend(value.map(|value| (key, value)));
            } else {
                let field = seed.deserialize(key.as_str().into_deserializer());
                return field.map(Some).map_err(|_: A::Error| {
                    let known = properties((self.schema)(&mut SchemaGenerator::default()));
                    let known: Vec<String> = known.keys().map(|key| quoted(key)).collect();
                    let known = known.join(", ");
                    Error::custom(format!("unknown field `{key}`, expected one of {known}"))
                });
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.params.next_value_seed(seed)
    }
}

struct Named<O>(O);

impl<'de, O: Objectives> Deserialize<'de> for Named<O> {
    fn deserialize<D: Deserializer<'de>>(name: D) -> Result<Self, D::Error> {
        O::named(name).map(Self)
    }
}

/// A param by itself; none for null and for what is not written.
struct Own<'a, O> {
    owner: &'a O,
    key: &'a str,
}

impl<'de, O: Objectives> DeserializeSeed<'de> for Own<'_, O> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Option<Value>, D::Error> {
        value.deserialize_option(self)
    }
}

impl<'de, O: Objectives> Visitor<'de> for Own<'_, O> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a param or null")
    }

    fn visit_none<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<Option<Value>, D::Error> {
        struct Live<D>(D);

        impl<'de, D: Deserializer<'de>> IntoDeserializer<'de, D::Error> for Live<D> {
            type Deserializer = D;

            fn into_deserializer(self) -> D {
                self.0
            }
        }

        let alone = MapDeserializer::new(std::iter::once((self.key, Live(value))));
        let mut written = self.owner.read(alone)?.write().map_err(D::Error::custom)?;
        Ok(written.as_object_mut().and_then(|own| own.remove(self.key)))
    }
}

/// The default objective is not named.
impl<O: Objectives> Serialize for Chosen<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut own = self.objective.write().map_err(S::Error::custom)?;
        if !self.objective.is_default() {
            own[TAG] = self.objective.name().into();
        }
        own.serialize(serializer)
    }
}

/// What all objectives have.
impl<O: Objectives> JsonSchema for Chosen<O> {
    fn schema_name() -> Cow<'static, str> {
        "Chosen".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        for one in O::all() {
            for (key, schema) in properties(one.schema(generator)) {
                keys.entry(key).or_default().add(quoted(one.name()), schema);
            }
        }
        let keys = keys.into_iter().map(|(key, told)| (key, told.schema()));
        let mut properties: Map<String, Value> = keys.collect();
        let mut tag = generator.subschema_for::<Named<O>>();
        let mut names = O::those(|_| true);
        names[0] += " (default)";
        tag.insert(
            "description".into(),
            format!("{}.", list(&names, "or")).into(),
        );
        properties.insert(TAG.into(), tag.into());
        json_schema!({ "properties": properties })
    }
}

impl<O: Objectives> JsonSchema for Named<O> {
    fn schema_name() -> Cow<'static, str> {
        "Objective".into()
    }

    fn schema_id() -> Cow<'static, str> {
        std::any::type_name::<O>().into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let usual = O::all()[0].training_defaults().unwrap_or_default();
        let mut named = |one: O| {
            let schema = one.schema(generator);
            let about = schema.get("description").and_then(Value::as_str);
            let about = about.unwrap_or_default().to_owned() + &own_training(&one, &usual);
            json!({ "const": one.name(), "type": "string", "description": about })
        };
        let names: Vec<Value> = O::all().into_iter().map(&mut named).collect();
        json_schema!({ "description": O::ABOUT.trim(), "oneOf": names })
    }
}

/// What an objective's defaults of the `training:` block are, apart from the usual ones.
fn own_training(objective: &impl Objectives, usual: &Value) -> String {
    let own = objective.training_defaults().unwrap_or_default();
    let own = own.as_object().into_iter().flatten();
    let own = own.filter(|(key, value)| usual.get(key) != Some(value));
    let own: Vec<String> = own
        .map(|(key, value)| format!("`{key}: {value}`"))
        .collect();
    match own.is_empty() {
        true => String::new(),
        false => format!(" In `training`, by default {}.", list(&own, "and")),
    }
}

/// A param with what each objective says of it.
#[derive(Default)]
struct Key {
    schema: Map<String, Value>,
    /// A description, and the objectives that say it.
    descriptions: Vec<(Value, Vec<String>)>,
}

impl Key {
    fn add(&mut self, objective: String, mut schema: Value) {
        let about = schema["description"].take();
        match self
            .descriptions
            .iter_mut()
            .find(|(said, _)| *said == about)
        {
            Some((_, objectives)) => objectives.push(objective),
            None => self.descriptions.push((about, vec![objective])),
        }
        if let Value::Object(schema) = schema {
            self.schema = schema;
        }
    }

    /// It may be null, and has no default that is all objectives'.
    fn schema(mut self) -> Value {
        self.schema.remove("default");
        if let Some(kind @ Value::String(_)) = self.schema.get_mut("type") {
            *kind = json!([kind, "null"]);
        }
        if let Some(reference) = self.schema.remove("$ref") {
            let either = json!([{ "$ref": reference }, { "type": "null" }]);
            self.schema.insert("anyOf".into(), either);
        }
        let told = self.descriptions.iter().map(|(about, objectives)| {
            let about = about.as_str().unwrap_or_default();
            format!("Of {}: {about}", list(objectives, "and"))
        });
        let told: Vec<String> = told.collect();
        self.schema
            .insert("description".into(), told.join(" ").into());
        self.schema.into()
    }
}

fn properties(mut schema: Schema) -> Map<String, Value> {
    let properties = schema.get_mut("properties").map(Value::take);
    match properties {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

/// `` `a`, `b` and `c` ``.
fn list(names: &[String], and: &str) -> String {
    match names {
        [others @ .., last] if !others.is_empty() => format!("{} {and} {last}", others.join(", ")),
        _ => names.concat(),
    }
}
