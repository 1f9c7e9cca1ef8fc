//! PostgreSQL, Redis and NATS for tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use anyhow::{Context, Result};
use taskyard_devstack::{Devstack, Options, Server};
use tokio::sync::Mutex;

use folder::Folder;

mod folder;

/// The stack that the tests of this process share. It ends with the last of them.
static SHARED: Mutex<Weak<Servers>> = Mutex::const_new(Weak::new());

/// Real servers. Private ones are gone, with their data, when this is dropped.
#[derive(Debug)]
pub struct Servers {
    /// None only while this is dropped.
    stack: Option<Devstack>,
    /// Of private ones.
    _folder: Option<Folder>,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// Others use them too, and after us.
    Given,
    /// The tests of this process use them.
    Shared,
    /// One test uses them.
    Private,
}

impl Servers {
    /// The servers that `DATABASE_URL`, `REDIS_URL` and `NATS_URL` name when all three are set; else private ones that
    /// the tests of this process share. A test keeps to its [`Sandbox`](crate::Sandbox) in them.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn shared() -> Result<Arc<Self>> {
        let url = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
        if let (Some(postgres), Some(redis), Some(nats)) = (url("DATABASE_URL"), url("REDIS_URL"), url("NATS_URL")) {
            let options = Options {
                postgres_url: Some(postgres),
                redis_url: Some(redis),
                nats_url: Some(nats),
                ..Options::new(PathBuf::new())
            };
            let stack = Devstack::start(options, |_| {}).await?;
            return Ok(Arc::new(Self { stack: Some(stack), _folder: None, kind: Kind::Given }));
        }
        let mut shared = SHARED.lock().await;
        if let Some(servers) = shared.upgrade() {
            return Ok(servers);
        }
        let servers = Arc::new(Self::start(Options::new(PathBuf::new()), Kind::Shared).await?);
        *shared = Arc::downgrade(&servers);
        Ok(servers)
    }

    /// Servers of this test alone, to be stopped, killed, paused and emptied. `postgres_settings` are settings of
    /// PostgreSQL by name and value.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn private(postgres_settings: &[(&str, &str)]) -> Result<Arc<Self>> {
        let settings = postgres_settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = Options { postgres_settings: settings.collect(), ..Options::new(PathBuf::new()) };
        Ok(Arc::new(Self::start(options, Kind::Private).await?))
    }

    /// The same with environment variables for PostgreSQL.
    ///
    /// # Errors
    /// When they do not start.
    pub async fn private_with_environment(postgres_environment: &[(&str, OsString)]) -> Result<Arc<Self>> {
        let environment = postgres_environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let options = Options { postgres_environment: environment.collect(), ..Options::new(PathBuf::new()) };
        Ok(Arc::new(Self::start(options, Kind::Private).await?))
    }

    /// Where PostgreSQL is. A test asks its sandbox instead.
    pub fn postgres_url(&self) -> &str {
        self.stack.as_ref().map_or("", Devstack::postgres_url)
    }

    /// Where Redis is.
    pub fn redis_url(&self) -> &str {
        self.stack.as_ref().map_or("", Devstack::redis_url)
    }

    /// Where NATS is.
    pub fn nats_url(&self) -> &str {
        self.stack.as_ref().map_or("", Devstack::nats_url)
    }

    /// PostgreSQL itself.
    ///
    /// # Errors
    /// When the servers are not [`private`](Self::private).
    pub fn postgres(&self) -> Result<&Server> {
        self.server(Devstack::postgres)
    }

    /// Valkey itself.
    ///
    /// # Errors
    /// When the servers are not [`private`](Self::private).
    pub fn redis(&self) -> Result<&Server> {
        self.server(Devstack::redis)
    }

    /// NATS itself.
    ///
    /// # Errors
    /// When the servers are not [`private`](Self::private).
    pub fn nats(&self) -> Result<&Server> {
        self.server(Devstack::nats)
    }

    /// Whether others see what a test leaves behind.
    pub(crate) fn outlive_the_test(&self) -> bool {
        self.kind != Kind::Private
    }

    async fn start(options: Options, kind: Kind) -> Result<Self> {
        folder::remove_abandoned().await;
        let folder = Folder::new();
        let options =
            Options { dir: folder.path().into(), install_dir: Some(workspace().join(".taskyard/servers")), ..options };
        let stack = Devstack::start(options, |step| eprintln!("{step}")).await?;
        Ok(Self { stack: Some(stack), _folder: Some(folder), kind })
    }

    fn server(&self, choose: impl Fn(&Devstack) -> Option<&Server>) -> Result<&Server> {
        let private = self.stack.as_ref().filter(|_| self.kind == Kind::Private);
        private.and_then(choose).context("others use these servers too: take Servers::private")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let Some(stack) = self.stack.take() else { return };
        // The folder goes next, so the servers must be gone.
        if let Err(error) = crate::sandbox::block_on_elsewhere(stack.stop()) {
            eprintln!("cannot stop the servers of a test: {error:#}");
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
