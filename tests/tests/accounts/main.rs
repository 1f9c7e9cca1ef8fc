//! Who is let in, and to what: users, namespaces, keys, our own services.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod administration;
mod fairness;
mod issuers;
mod keys;
mod namespaces;
mod people;
mod rights;
mod setup;
mod users;
