//! Background loops under one roof: none of them ends unnoticed.

use std::{collections::HashMap, future::Future, time::Duration};

use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The loops of a service. A critical one that ends or panics before the stop takes the service down, loudly, so that
/// whoever runs the process starts it anew.
#[derive(Debug)]
pub struct Supervisor {
    loops: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, Named>,
    stop: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    name: &'static str,
    critical: bool,
}

impl Supervisor {
    /// Loops that stop with `shutdown`.
    #[must_use]
    pub fn new(shutdown: &CancellationToken) -> Self {
        Self { loops: JoinSet::new(), names: HashMap::new(), stop: shutdown.child_token() }
    }

    /// Canceled by the order to stop and by the end of a critical loop. Every loop must end soon after it.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a loop that the service cannot do without.
    pub fn critical(&mut self, name: &'static str, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let id = self.loops.spawn(work).id();
        self.names.insert(id, Named { name, critical: true });
    }

    /// Starts a loop whose end is logged and hinders nobody.
    pub fn optional(&mut self, name: &'static str, work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let id = self.loops.spawn(work).id();
        self.names.insert(id, Named { name, critical: false });
    }

    /// Waits for the order to stop, then for the loops' ends, at most `grace` long.
    ///
    /// # Errors
    /// If a critical loop ended before the order, or with an error, or panicked, or did not end in time. The first
    /// such loop is named.
    pub async fn run(mut self, grace: Duration) -> anyhow::Result<()> {
        let mut first_error = None;
        let mut deadline = None;
        loop {
            let asked = self.stop.is_cancelled();
            if asked && deadline.is_none() {
                deadline = Some(Instant::now() + grace);
            }
            let out_of_time = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = self.loops.join_next_with_id() => {
                    let Some(ended) = ended else { break };
                    // The order may have come while the loop ended.
                    let error = self.judge(ended, self.stop.is_cancelled());
                    if let Some(error) = error {
                        self.stop.cancel();
                        first_error.get_or_insert(error);
                    }
                }
                () = self.stop.cancelled(), if !asked => {}
                () = out_of_time => {
                    let late: Vec<_> = self.names.values().map(|named| named.name).collect();
                    tracing::error!(loops = ?late, "did not stop within {grace:?}, dropped");
                    first_error.get_or_insert_with(|| anyhow::anyhow!("did not stop within {grace:?}: {}", late.join(", ")));
                    break;
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// What the end of a loop means for the service.
    fn judge(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>, stopping: bool) -> Option<anyhow::Error> {
        let (id, error) = match ended {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(error)),
            Err(error) => (error.id(), Some(anyhow::anyhow!(error).context("it panicked"))),
        };
        let Named { name, critical } = self.names.remove(&id)?;
        let error = match error {
            Some(error) => error.context(format!("`{name}` failed")),
            None if stopping => return None,
            None => anyhow::anyhow!("`{name}` ended although nobody asked it to"),
        };
        tracing::error!(name, critical, error = format!("{error:#}"), "a loop ended");
        critical.then_some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_millis(100);

    async fn run_with(work: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> String {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(&shutdown);
        let stop = supervisor.stop();
        supervisor.critical("other", async move {
            stop.cancelled().await;
            Ok(())
        });
        supervisor.critical("dispatcher", work);
        let error = supervisor.run(GRACE).await.expect_err("it ended too soon");
        assert!(!shutdown.is_cancelled(), "others of the process decide for themselves");
        format!("{error:#}")
    }

    #[tokio::test]
    async fn a_critical_loop_that_ends_takes_all_down_and_is_named() {
        assert_eq!(run_with(async { Ok(()) }).await, "`dispatcher` ended although nobody asked it to");
        assert_eq!(run_with(async { anyhow::bail!("no database") }).await, "`dispatcher` failed: no database");
        let panicked = run_with(async { panic!("a bug") }).await;
        assert!(panicked.contains("`dispatcher` failed: it panicked") && panicked.contains("a bug"), "{panicked}");
    }

    #[tokio::test]
    async fn an_optional_loop_hinders_nobody_and_a_stop_is_clean() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(&shutdown);
        supervisor.optional("sweeper", async { anyhow::bail!("no") });
        let stop = supervisor.stop();
        supervisor.critical("loop", async move {
            stop.cancelled().await;
            Ok(())
        });
        let running = tokio::spawn(supervisor.run(GRACE));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!running.is_finished());
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_loop_that_does_not_stop_is_named_and_dropped() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(&shutdown);
        supervisor.critical("deaf", std::future::pending());
        shutdown.cancel();
        let error = supervisor.run(GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "did not stop within 100ms: deaf");
    }
}
