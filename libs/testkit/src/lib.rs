//! What tests need: real servers, a fresh corner of them for each test, a network that can be cut, processes of ours
//! that can be killed and frozen, and waiting that ends.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use taskyard_testkit::{Process, Proxy, Sandbox, eventually};
//!
//! let sandbox = Sandbox::shared().await?;
//! let proxy = Proxy::to_url(sandbox.database_url()).await?;
//! let mut tasks = Process::taskyard(["tasks"], [("DATABASE_URL", proxy.url_through(sandbox.database_url())?)])?;
//! tasks.wait_for_output("listens", Duration::from_secs(5)).await?;
//! proxy.cut();
//! let answer = eventually(Duration::from_secs(10), "an answer", async || Some(42)).await?;
//! # let _ = answer;
//! sandbox.close().await
//! # }
//! ```
//!
//! Everything fails with an error that says what was awaited and what was seen, so that a test returns
//! `anyhow::Result<()>` and uses `?`.
//!
//! Never in here: anything that a program of ours needs when it runs, nor knowledge of tasks, schemas or streams.

mod eventually;
mod nats;
mod process;
mod proxy;
mod sandbox;
mod servers;

pub use eventually::eventually;
pub use nats::connect_nats;
pub use process::{Process, program};
pub use proxy::Proxy;
pub use sandbox::Sandbox;
pub use servers::Servers;
pub use taskyard_devstack::{Server, free_port};
