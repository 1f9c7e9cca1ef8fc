//! Schemas of the types that are read and written. What is read and what is written are described apart: a field that
//! may be left out of a request is always there in an answer.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

/// Makes a type's schema; the types that it names are kept aside.
pub(crate) type SchemaOf = fn(&mut Schemas) -> Value;

/// The schemas of a document.
pub(crate) struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

pub(crate) fn request_schema<T: JsonSchema>(schemas: &mut Schemas) -> Value {
    schemas.requests.subschema_for::<T>().to_value()
}

pub(crate) fn answer_schema<T: JsonSchema>(schemas: &mut Schemas) -> Value {
    schemas.answers.subschema_for::<T>().to_value()
}

/// What may be left out is told apart from what is required; that nothing is then nothing need not be said.
fn without_null_default(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12()
                .with(|settings| {
                    settings.definitions_path = "/components/schemas".into();
                    settings.meta_schema = None;
                })
                .with_transform(RecursiveTransform(without_null_default))
        };
        Self {
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }

    /// All named types. No name is used for a request and for an answer; a test looks.
    pub(super) fn named(mut self) -> Map<String, Value> {
        let mut named = self.requests.take_definitions(true);
        named.extend(self.answers.take_definitions(true));
        named
    }

    /// Names that mean something else in requests and in answers.
    #[cfg(test)]
    pub(super) fn ambiguous(&self) -> Vec<String> {
        let requests = self.requests.definitions();
        self.answers
            .definitions()
            .iter()
            .filter(|(name, schema)| requests.get(*name).is_some_and(|other| other != *schema))
            .map(|(name, _)| name.clone())
            .collect()
    }
}
