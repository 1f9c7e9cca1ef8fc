//! The private servers of `taskyard up` and of the tests: PostgreSQL, Valkey and NATS with JetStream, real ones, of
//! pinned versions, as child processes on loopback, with their data in one folder. No Docker, no root.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use taskyard_devstack::{Devstack, Options};
//!
//! let stack = Devstack::start(Options::new(".taskyard"), |step| println!("{step}")).await?;
//! println!("{}", stack.postgres_url());
//! stack.stop().await
//! # }
//! ```
//!
//! What holds, whatever happens:
//! - One process owns a folder at a time; the next one is told which process has it.
//! - No server outlives the process that started it, even when that is killed: each runs under a small shell guard
//!   (`guard.sh`) that notices.
//! - Other users of the machine cannot get in: every server asks for a password, and no password is ever on a command
//!   line. Nor can they read the files.
//! - Data outlive a restart, and nothing that makes them durable is switched off.
//!
//! Never in here: anything of the product (schemas, streams, keys), a database driver, or servers for production.

mod account;
mod guard;
mod home;
mod install;
mod log;
mod options;
mod place;
mod port;
pub mod process;
mod secrets;
mod server;
mod stack;

pub use options::Options;
pub use port::free_port;
pub use server::Server;
pub use stack::{Devstack, remove_abandoned};
