//! The API's description, OpenAPI 3.1, made from what is served: [`Routes`] takes a handler only together with its
//! [`Operation`], and what a handler's extractors read ([`Input`]) describes itself.
//!
//! Schemas come from the types that are read and written, with the limits of `taskyard_core::limits`.

mod document;
mod errors;
mod input;
mod operation;
mod routes;
mod schemas;

pub(crate) use document::{document, pretty};
pub(crate) use input::Input;
pub(crate) use operation::{Operation, Parameter};
pub(crate) use routes::{Described, Routes, delete, get, patch, post, put};
