//! What a stack is started with.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a [`Devstack`](crate::Devstack) is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the data, logs, ports and passwords; made when it is missing. It is kept when the stack stops.
    pub dir: PathBuf,
    /// Where the servers' programs are installed, so that many stacks can share them. By default `servers` in `dir`.
    pub install_dir: Option<PathBuf>,
    /// A PostgreSQL that exists: it is used, and none of ours is started. Usually from `DATABASE_URL`.
    pub postgres_url: Option<String>,
    /// A Redis or Valkey that exists: it is used, and none of ours is started. Usually from `REDIS_URL`.
    pub redis_url: Option<String>,
    /// A NATS server that exists: it is used, and none of ours is started. Usually from `NATS_URL`.
    pub nats_url: Option<String>,
    /// Settings of our PostgreSQL by name and value; they win over those that we choose.
    pub postgres_settings: Vec<(String, String)>,
    /// Environment variables of our PostgreSQL.
    pub postgres_environment: Vec<(String, OsString)>,
}

impl Options {
    /// All servers private, with their data in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            install_dir: None,
            postgres_url: None,
            redis_url: None,
            nats_url: None,
            postgres_settings: Vec::new(),
            postgres_environment: Vec::new(),
        }
    }
}
