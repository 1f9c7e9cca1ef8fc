//! Whether the namespaces of schedules that tick have room for their tasks.

use std::collections::{HashMap, HashSet};

use taskyard_core::{schedule::TickKind, task::Namespace};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    quotas::{Quotas, Room},
    store::ticks::{DueSchedule, NewTick},
};

/// What is known of the namespaces, and who waits for a count.
#[derive(Debug)]
pub struct Rooms {
    quotas: Quotas,
    counts: JoinSet<Namespace>,
    /// Namespaces whose tasks are being counted: their schedules wait, and no others.
    awaited: HashSet<Namespace>,
    /// The tasks that were admitted and are not made yet.
    admitted: HashMap<Uuid, (Namespace, usize)>,
}

impl Rooms {
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, counts: JoinSet::new(), awaited: HashSet::new(), admitted: HashMap::new() }
    }

    /// The namespaces whose ticks wait.
    pub fn awaited(&self) -> Vec<Namespace> {
        self.awaited.iter().copied().collect()
    }

    /// Ends when one of those that are awaited is counted; never if there is none.
    pub async fn counted(&mut self) {
        match self.counts.join_next().await {
            Some(Ok(namespace)) => drop(self.awaited.remove(&namespace)),
            Some(Err(error)) => {
                tracing::error!(%error, "a count of tasks failed");
                self.awaited.clear();
            }
            None => std::future::pending().await,
        }
    }

    /// Passes over those ticks for whose tasks there is no room. False: their namespace has to be counted first.
    pub fn admit(&mut self, schedule: &DueSchedule, ticks: &mut [NewTick]) -> bool {
        let DueSchedule { namespace, payload_bytes, .. } = *schedule;
        if self.awaited.contains(&namespace) {
            return false;
        }
        for tick in ticks.iter_mut().filter(|tick| tick.kind.makes_task()) {
            match self.quotas.admit_tick(namespace, payload_bytes) {
                Room::Free => drop(self.admitted.insert(tick.task, (namespace, payload_bytes))),
                Room::Full => tick.kind = TickKind::OverQuota,
                Room::Unknown => {
                    let quotas = self.quotas.clone();
                    self.awaited.insert(namespace);
                    self.counts.spawn(async move {
                        quotas.settle(namespace).await;
                        namespace
                    });
                    return false;
                }
            }
        }
        true
    }

    /// What was admitted and is not made was passed over: the last task is not finished, or the schedule has changed.
    pub fn settle(&mut self, made: &[Uuid]) {
        for task in made {
            self.admitted.remove(task);
        }
        for (namespace, payload_bytes) in std::mem::take(&mut self.admitted).into_values() {
            self.quotas.release(namespace, payload_bytes);
        }
    }
}
