//! The three ports.

use std::net::SocketAddr;

use anyhow::Result;
use taskyard_runtime::config::Problems;
use tokio::net::TcpListener;

use crate::commands::listen;

/// Addresses of the three ports.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// REST and gRPC for everybody.
    pub gateway: SocketAddr,
    /// The tasks service's gRPC.
    pub tasks: SocketAddr,
    /// Health and metrics.
    pub ops: SocketAddr,
}

/// The three ports, bound.
#[derive(Debug)]
pub struct Ports {
    /// REST and gRPC for everybody.
    pub gateway: TcpListener,
    /// The tasks service's gRPC.
    pub tasks: TcpListener,
    /// Health and metrics.
    pub ops: TcpListener,
    /// Where they are really: port 0 is any free one.
    pub addresses: Addresses,
}

impl Ports {
    /// Binds all of them, or names all that are taken.
    pub async fn bind(wanted: Addresses) -> Result<Self> {
        let mut problems = Problems::default();
        let gateway = listen::bind(wanted.gateway, "--listen", &mut problems).await;
        let tasks = listen::bind(wanted.tasks, "--tasks-listen", &mut problems).await;
        let ops = listen::bind(wanted.ops, "--ops-listen", &mut problems).await;
        let ((gateway, tasks), ops) = problems.finish(gateway.zip(tasks).zip(ops))?;
        let addresses =
            Addresses { gateway: gateway.local_addr()?, tasks: tasks.local_addr()?, ops: ops.local_addr()? };
        Ok(Self { gateway, tasks, ops, addresses })
    }
}
