//! Configuration: groups of flags with their environment variables, to be flattened into a command.
//!
//! A group is read by clap and then checked with a [`Problems`] at hand, which collects every mistake, so that all of
//! them are named at once, before a port is bound.

mod problems;
mod secret;
mod servers;
mod token;

pub use problems::{Problems, WrongConfig};
pub use secret::{Secret, read_secret};
pub use servers::{NatsArgs, Postgres, PostgresArgs, RedisArgs};

pub use token::TokenArgs;

pub use crate::{ops::OpsArgs, telemetry::LogArgs};
