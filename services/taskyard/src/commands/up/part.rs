//! A service that runs as a part of this process.

use std::task::Poll;

use anyhow::{Context, Error, Result};
use futures::future::select_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running service.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    stop: CancellationToken,
    /// None once its end was told.
    running: Option<JoinHandle<Result<()>>>,
}

impl Part {
    /// Starts a service; `run` is given the order to stop. It has run up to its first wait then, so it has named what it
    /// is not ready for: readiness cannot be seen before that.
    pub async fn start<F>(name: &'static str, run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let mut run = Box::pin(run(stop.clone()));
        let begun = futures::poll!(&mut run);
        let running = tokio::spawn(async move {
            match begun {
                Poll::Ready(ended) => ended,
                Poll::Pending => run.await,
            }
        });
        Self { name, stop, running: Some(running) }
    }

    /// Orders it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        match self.running.take() {
            Some(running) => running.await?.with_context(|| format!("the {} did not stop cleanly", self.name)),
            None => Ok(()),
        }
    }

    /// Waits for an end that nobody ordered.
    async fn end(&mut self) -> Error {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let ended = running.await;
        self.running = None;
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("the {} ended although nobody asked it to", self.name),
            Ok(Err(error)) => error.context(format!("the {} failed", self.name)),
            Err(panic) => Error::new(panic).context(format!("the {} failed", self.name)),
        }
    }
}

/// Waits until one of them ends without order.
pub async fn first_end(parts: &mut [Part]) -> Error {
    select_all(parts.iter_mut().map(|part| Box::pin(part.end()))).await.0
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn good(stop: CancellationToken) -> Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn an_end_without_order_is_told_and_the_others_stop() {
        let mut parts = vec![
            Part::start("gateway", good).await,
            Part::start("worker", |_| async { anyhow::bail!("no such host") }).await,
            Part::start("tasks service", good).await,
        ];
        assert_eq!(format!("{:#}", first_end(&mut parts).await), "the worker failed: no such host");
        for part in parts {
            part.stop().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_failure_while_stopping_is_told() {
        let part = Part::start("tasks service", |stop| async move {
            stop.cancelled().await;
            anyhow::bail!("too late")
        })
        .await;
        assert_eq!(format!("{:#}", part.stop().await.unwrap_err()), "the tasks service did not stop cleanly: too late");
    }
}
