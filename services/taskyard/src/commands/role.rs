//! The roles, each as a process of its own.

pub mod gateway;
pub mod operator;
pub mod tasks;
pub mod worker;

use taskyard_runtime::{health::Health, metrics::Metrics, ops, shutdown};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Runs a role until it ends or a signal tells it to. Health and metrics are served from before its begin to after its
/// end, so that it is seen to be unready while it starts and while it stops.
async fn serve<F>(ops: TcpListener, role: impl FnOnce(Health, Metrics, CancellationToken) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let (health, metrics) = (Health::new(), Metrics::new());
    let stop = shutdown::on_signal()?;
    let stopped = CancellationToken::new();
    let ops = tokio::spawn(ops::serve(ops, health.clone(), metrics.clone(), stopped.clone()));
    let drain = tokio::spawn({
        let (health, stop) = (health.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            health.drain();
        }
    });
    let ended = role(health, metrics, stop).await;
    drain.abort();
    stopped.cancel();
    // It has nothing to lose.
    let _ = ops.await;
    ended
}
