//! What the leader last told of the queues' backlog, as this pod heard it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use taskyard_core::{Error, ErrorCode, Result, identity::EVERY_NAMESPACE, task::Namespace};
use taskyard_proto::internal::{Backlog, LaneBacklog};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// What is older says nothing about now: the leader tells it every 5 s, and another one leads within 5 s.
const AGE_MAX: Duration = Duration::from_secs(15);

/// The last that was heard.
#[derive(Debug, Default)]
pub struct HeardBacklog(Mutex<Option<(Instant, Backlog)>>);

impl HeardBacklog {
    /// Listens until the stop.
    pub async fn listen(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backlogs = app.bus.listen::<Backlog>(app.bus.names().backlog()).await?;
        loop {
            tokio::select! {
                backlog = backlogs.next() => {
                    let Some(backlog) = backlog else { anyhow::bail!("the connection to NATS is closed") };
                    app.backlog.hear(backlog, Instant::now());
                }
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    fn hear(&self, backlog: Backlog, now: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A leader that was frozen and wakes is late.
        if last.as_ref().is_none_or(|(_, last)| last.term <= backlog.term) {
            *last = Some((now, backlog));
        }
    }

    /// What the queues of a namespace, or of every one, could use of workers.
    ///
    /// # Errors
    /// `UNAVAILABLE` if nothing was told lately.
    pub fn read(&self, namespace: Namespace, now: Instant) -> Result<Vec<LaneBacklog>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, backlog)) = last.as_ref().filter(|(heard_at, _)| now.duration_since(*heard_at) <= AGE_MAX) else {
            let message = format!("no leader has told the backlog within {} s", AGE_MAX.as_secs());
            return Err(Error::new(ErrorCode::Unavailable, message));
        };
        Ok(backlog
            .lanes
            .iter()
            .filter(|lane| namespace == EVERY_NAMESPACE || lane.namespace == namespace)
            .cloned()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(term: i64, queue: &str) -> Backlog {
        let lane = LaneBacklog { namespace: 1, queue: queue.into(), ..LaneBacklog::default() };
        Backlog { term, lanes: vec![lane] }
    }

    #[test]
    fn what_is_old_is_an_error_and_never_nothing() {
        let (heard, now) = (HeardBacklog::default(), Instant::now());
        assert_eq!(heard.read(1, now).unwrap_err().code, ErrorCode::Unavailable);
        heard.hear(told(1, "a"), now);
        assert_eq!(heard.read(1, now + AGE_MAX).unwrap()[0].queue, "a");
        assert!(heard.read(2, now).unwrap().is_empty(), "another namespace's");
        assert_eq!(heard.read(EVERY_NAMESPACE, now).unwrap().len(), 1);
        assert!(heard.read(1, now + AGE_MAX + Duration::from_millis(1)).is_err());
    }

    #[test]
    fn an_earlier_leader_is_not_believed() {
        let (heard, now) = (HeardBacklog::default(), Instant::now());
        heard.hear(told(2, "new"), now);
        heard.hear(told(1, "old"), now);
        assert_eq!(heard.read(1, now).unwrap()[0].queue, "new");
    }
}
