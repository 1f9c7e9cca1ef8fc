//! Lists and maps of JSON that end where they would be refused anyway: sixteen megabytes of `0,0,0,…` are not held in
//! memory as eight million values.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A list of at most `MAX` values.
#[derive(Clone, Debug)]
pub(crate) struct List<T, const MAX: usize>(pub(crate) Vec<T>);

/// A map of at most `MAX` entries.
#[derive(Clone, Debug)]
pub(crate) struct Map<V, const MAX: usize>(pub(crate) BTreeMap<String, V>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData)).map(List)
    }
}

impl<'de, V: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Map<V, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BoundedMap::<V, MAX>(PhantomData)).map(Map)
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for List<T, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>(), "maxItems": MAX })
    }
}

impl<V: JsonSchema, const MAX: usize> JsonSchema for Map<V, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": generator.subschema_for::<V>(),
            "maxProperties": MAX,
        })
    }
}

struct Bounded<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::custom(format!("holds more than {MAX} values")));
            }
            list.push(value);
        }
        Ok(list)
    }
}

struct BoundedMap<V, const MAX: usize>(PhantomData<V>);

impl<'de, V: Deserialize<'de>, const MAX: usize> Visitor<'de> for BoundedMap<V, MAX> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {MAX} entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<BTreeMap<String, V>, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
            if map.len() > MAX {
                return Err(A::Error::custom(format!("holds more than {MAX} entries")));
            }
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::from_json;

    #[test]
    fn they_end_at_their_bound() {
        let list = |text: &str| {
            serde_json::from_str::<List<u8, 2>>(text).map(|list| list.0).map_err(|error| error.to_string())
        };
        assert_eq!(list("[1,2]").unwrap(), [1, 2]);
        assert_eq!(list("[1,2,3]").unwrap_err(), "holds more than 2 values at line 1 column 7");
        assert!(list("{}").unwrap_err().contains("expected a list of at most 2 values"));
        assert_eq!(from_json::<Map<u8, 1>>(br#"{"a":1,"a":2}"#).unwrap().0["a"], 2);
        assert!(from_json::<Map<u8, 1>>(br#"{"a":1,"b":2}"#).unwrap_err().message.contains("more than 1 entries"));
    }
}
