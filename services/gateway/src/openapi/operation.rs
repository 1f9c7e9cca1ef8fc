//! What a route does, takes and answers.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use schemars::JsonSchema;
use serde_json::{Value, json};
use taskyard_core::{ErrorCode, identity::Access};
use taskyard_proto::access::access_by_name;
use taskyard_runtime::http_error;

use super::schemas::{SchemaOf, Schemas, answer_schema, request_schema};

/// One route's description.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: BTreeMap<u16, Answer>,
    pub(super) errors: BTreeSet<(u16, &'static str)>,
    pub(super) open: bool,
    /// The method of the tasks service that it calls, if its name is not the id's.
    method: &'static str,
}

/// A parameter in the path, the query or a header.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(super) name: &'static str,
    pub(super) place: &'static str,
    pub(super) description: &'static str,
    pub(super) required: bool,
    pub(super) schema: Value,
}

/// A request's body.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) types: Vec<&'static str>,
    pub(super) schema: SchemaOf,
    pub(super) example: Value,
}

/// An answer that is no error.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) description: &'static str,
    pub(super) content: Option<(&'static str, SchemaOf)>,
    pub(super) headers: Vec<&'static str>,
}

impl Operation {
    pub(crate) fn new(id: &'static str, tag: &'static str, summary: &'static str) -> Self {
        let mut operation = Self {
            id,
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            errors: BTreeSet::new(),
            open: false,
            method: "",
        };
        // What every route can answer, whoever asks for whatever.
        for code in [
            ErrorCode::InvalidInput,
            ErrorCode::Unauthenticated,
            ErrorCode::Exhausted,
            ErrorCode::Internal,
            ErrorCode::Unavailable,
            ErrorCode::DeadlineExceeded,
        ] {
            operation.add_error(code);
        }
        for (status, code) in [
            (StatusCode::URI_TOO_LONG, ErrorCode::TooLarge),
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, ErrorCode::TooLarge),
            (StatusCode::MISDIRECTED_REQUEST, ErrorCode::Unsupported),
        ] {
            operation.errors.insert((status.as_u16(), code.as_str()));
        }
        operation
    }

    /// More about it, in whole sentences.
    pub(crate) fn says(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Needs no token, reads nothing and asks nobody.
    pub(crate) fn open(mut self) -> Self {
        self.open = true;
        self.errors.retain(|(status, _)| matches!(status, 414 | 421 | 431));
        self
    }

    /// Needs no token.
    pub(crate) fn needs_no_token(mut self) -> Self {
        self.open = true;
        self.errors.retain(|(_, code)| *code != ErrorCode::Unauthenticated.as_str());
        self
    }

    /// Calls this method of the tasks service, if that has another name than the operation.
    pub(crate) fn calls(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// What it needs of its caller: what the method that it calls does.
    pub(super) fn access(&self) -> Option<Access> {
        if self.method.is_empty() {
            let (first, rest) = self.id.split_at_checked(1)?;
            return access_by_name(&(first.to_ascii_uppercase() + rest));
        }
        access_by_name(self.method)
    }

    /// Who has not the right is refused.
    pub(super) fn guarded(mut self) -> Self {
        if !matches!(self.access(), None | Some(Access::Open | Access::Known)) {
            self.add_error(ErrorCode::Forbidden);
        }
        self
    }

    /// A parameter of the query.
    pub(crate) fn query(mut self, name: &'static str, schema: Value, description: &'static str) -> Self {
        self.parameters.push(Parameter { name, place: "query", description, required: false, schema });
        self
    }

    /// Parameters that several routes have.
    pub(crate) fn queries(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// An example of the body.
    pub(crate) fn example(mut self, example: Value) -> Self {
        // Until the extractor is known, which is asked last.
        self.body = Some(Body { required: false, types: Vec::new(), schema: request_schema::<()>, example });
        self
    }

    /// Answers with JSON.
    pub(crate) fn answers<T: JsonSchema>(mut self, status: StatusCode, description: &'static str) -> Self {
        let content = Some(("application/json", answer_schema::<T> as SchemaOf));
        self.answers.insert(status.as_u16(), Answer { description, content, headers: Vec::new() });
        self
    }

    /// Answers without a body.
    pub(crate) fn answers_nothing(mut self, status: StatusCode, description: &'static str) -> Self {
        self.answers.insert(status.as_u16(), Answer { description, content: None, headers: Vec::new() });
        self
    }

    /// Answers with a JSON document of a type that is not ours.
    pub(crate) fn answers_text(mut self, status: StatusCode, kind: &'static str, description: &'static str) -> Self {
        let content = Some((kind, (|_: &mut Schemas| json!({ "type": "object" })) as SchemaOf));
        self.answers.insert(status.as_u16(), Answer { description, content, headers: Vec::new() });
        self
    }

    /// All answers without an error have this header.
    pub(crate) fn with_header(mut self, name: &'static str) -> Self {
        for answer in self.answers.values_mut() {
            answer.headers.push(name);
        }
        self
    }

    /// Can be refused with this code.
    pub(crate) fn fails(mut self, code: ErrorCode) -> Self {
        self.add_error(code);
        self
    }

    /// For extractors: a parameter.
    pub(crate) fn add_parameter(
        &mut self,
        place: &'static str,
        name: &'static str,
        schema: Value,
        description: &'static str,
    ) {
        self.parameters.push(Parameter { name, place, description, required: place == "path", schema });
    }

    /// For extractors: can be refused with this code.
    pub(crate) fn add_error(&mut self, code: ErrorCode) {
        self.errors.insert((http_error::status(code).as_u16(), code.as_str()));
    }

    /// For extractors: the body.
    pub(crate) fn add_body<T: JsonSchema>(&mut self, required: bool) {
        let example = self.body.take().map_or(Value::Null, |body| body.example);
        self.body = Some(Body { required, types: vec!["application/json"], schema: request_schema::<T>, example });
        for code in [ErrorCode::TooLarge, ErrorCode::Unsupported] {
            self.add_error(code);
        }
    }

    /// The body can also be called a merge patch.
    pub(super) fn takes_merge_patch(mut self) -> Self {
        if let Some(body) = &mut self.body {
            body.types.push("application/merge-patch+json");
        }
        self
    }

    /// Changes something, so pages of other origins are refused.
    pub(super) fn changes(mut self) -> Self {
        self.add_error(ErrorCode::Forbidden);
        self
    }
}

impl Parameter {
    /// A parameter of the query.
    pub(crate) const fn query(name: &'static str, schema: Value, description: &'static str) -> Self {
        Self { name, place: "query", description, required: false, schema }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "in": self.place,
            "required": self.required,
            "description": self.description,
            "schema": self.schema,
        })
    }
}
