//! What our services share about Postgres: the pool, what an error means, and the group commit.
//!
//! Never in here: a table of any service.

pub mod failure;
pub mod group;
pub mod pool;

pub use failure::Failure;
pub use group::{Group, GroupCommit, GroupOptions, Verdict};
