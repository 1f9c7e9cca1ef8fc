//! Tells every few seconds what the queues could use of workers: what autoscalers go by.

use std::{sync::Arc, time::Duration};

use prost::Message;
use taskyard_proto::internal::{Backlog, LaneBacklog};
use tokio::time::Instant;

use super::{End, Term, pause_after};
use crate::store::backlog::{Lane, backlog_list};

const INTERVAL: Duration = Duration::from_secs(5);
/// An autoscaler that hears nothing for longer does nothing.
const INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Counts and tells until the term ends.
pub async fn run(term: Arc<Term>) -> End {
    let app = &term.app;
    loop {
        let begun = Instant::now();
        match backlog_list(&app.pool).await {
            Ok(lanes) => {
                let backlog = Backlog { term: term.number, lanes: within_limits(lanes) };
                if backlog.encoded_len() > app.bus.payload_bytes_max() {
                    // Part of it would look like all of it.
                    tracing::warn!(lanes = backlog.lanes.len(), "the backlog is not told: too many queues and kinds");
                } else {
                    app.bus.tell(app.bus.names().backlog(), &backlog).await;
                }
            }
            Err(error) => tracing::warn!(%error, "the backlog could not be counted"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause_after(begun.elapsed(), INTERVAL).min(INTERVAL_MAX)) => {}
            () = term.stop.cancelled() => return End::Stopped,
        }
    }
}

/// What may start: nothing of a paused queue; where there is a limit, the room is shared out by what waits.
fn within_limits(lanes: Vec<Lane>) -> Vec<LaneBacklog> {
    let mut told = Vec::with_capacity(lanes.len());
    for lanes in lanes.chunk_by(|one, next| (one.namespace, &one.queue) == (next.namespace, &next.queue)) {
        let running: u64 = lanes.iter().map(|lane| lane.running).sum();
        let mut ready: u64 = lanes.iter().map(|lane| lane.ready).sum();
        let mut room = match lanes.first() {
            Some(lane) if lane.paused => 0,
            Some(Lane { concurrency_max: Some(max), .. }) => u64::try_from(*max).unwrap_or(0).saturating_sub(running),
            _ => u64::MAX,
        }
        .min(ready);
        for lane in lanes {
            // Rounded up, and never more than is left: all shares together are the room.
            let startable = if ready == 0 { 0 } else { (room * lane.ready).div_ceil(ready) };
            room -= startable;
            ready -= lane.ready;
            let oldest_age = if startable > 0 { lane.oldest_age } else { Duration::ZERO };
            told.push(LaneBacklog {
                namespace: lane.namespace,
                namespace_name: lane.namespace_name.clone(),
                queue: lane.queue.clone(),
                kind: lane.kind.clone(),
                startable,
                running: lane.running,
                oldest_age_ms: u64::try_from(oldest_age.as_millis()).unwrap_or(u64::MAX),
            });
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane(queue: &str, kind: &str, ready: u64, running: u64) -> Lane {
        Lane {
            namespace: 1,
            namespace_name: "default".into(),
            queue: queue.into(),
            kind: kind.into(),
            ready,
            running,
            oldest_age: Duration::from_secs(7),
            paused: false,
            concurrency_max: None,
        }
    }

    fn startable(lanes: Vec<Lane>) -> Vec<u64> {
        within_limits(lanes).into_iter().map(|lane| lane.startable).collect()
    }

    #[test]
    fn without_limits_all_that_is_ready_may_start() {
        assert_eq!(startable(vec![lane("a", "x", 3, 1), lane("a", "y", 0, 2), lane("b", "x", 4, 0)]), [3, 0, 4]);
    }

    #[test]
    fn nothing_of_a_paused_queue_may_start() {
        let paused = Lane { paused: true, ..lane("a", "x", 3, 1) };
        let told = within_limits(vec![paused]);
        assert_eq!((told[0].startable, told[0].running, told[0].oldest_age_ms), (0, 1, 0));
    }

    proptest! {
        #[test]
        fn a_limit_is_shared_out(ready in prop::collection::vec(0_u64..50, 1..6), running in 0_u64..20, max in 0_i32..100) {
            let lanes = ready.iter().enumerate().map(|(n, ready)| Lane {
                concurrency_max: Some(max),
                ..lane("a", &n.to_string(), *ready, if n == 0 { running } else { 0 })
            });
            let shares = startable(lanes.collect());
            let room = u64::from(max.cast_unsigned()).saturating_sub(running);
            prop_assert_eq!(shares.iter().sum::<u64>(), room.min(ready.iter().sum()));
            for (share, ready) in shares.iter().zip(&ready) {
                prop_assert!(share <= ready);
            }
        }
    }
}
