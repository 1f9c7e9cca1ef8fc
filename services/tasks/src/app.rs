//! The use cases of the tasks service, and what they share.

pub mod administration;
pub mod commands;
pub mod creates;
pub mod finishes;
pub mod indexing;
pub mod keys;
pub mod lists;
pub mod namespaces;
pub mod schedules;
pub mod search;
pub mod sweeps;
pub mod users;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use taskyard_bus::Bus;
use taskyard_core::task::Namespace;
use taskyard_postgres::GroupCommit;
use taskyard_proto::internal::{StopRun, StopRuns};
use taskyard_proto::v1::StopReason;
use taskyard_redis::{Cache, Change};
use uuid::Uuid;

use self::{
    creates::{Creates, KnownQueues},
    finishes::Finishes,
};
use crate::{
    backlog::HeardBacklog,
    config::Settings,
    fault::{self, FaultPoint},
    identity::{Changes, Issuers, Passwords, Verifier},
    metrics::TaskMetrics,
    progress::ProgressBoard,
    quotas::Quotas,
    sessions::{Sessions, demand::DemandTeller},
    store::returns::Returned,
    wakes::Wakes,
    watch::Watches,
};

/// What the parts of this process share.
#[derive(Debug)]
pub struct App {
    /// This process' id, new with every start.
    pub pod: String,
    pub settings: Settings,
    pub pool: PgPool,
    /// Searches alone: few connections, so that they never keep others waiting.
    pub search_pool: PgPool,
    /// Of the search index's reader, while this process leads.
    pub index_pool: PgPool,
    pub bus: Bus,
    pub wakes: Wakes,
    /// What gateways keep, which has to hear of every change before its caller does.
    pub cache: Cache,
    pub creates: GroupCommit<Creates>,
    pub finishes: GroupCommit<Finishes>,
    pub queues: KnownQueues,
    pub sessions: Arc<Sessions>,
    pub demand: Arc<DemandTeller>,
    pub progress: Arc<ProgressBoard>,
    pub watches: Arc<Watches>,
    pub backlog: HeardBacklog,
    pub passwords: Passwords,
    pub issuers: Issuers,
    pub quotas: Quotas,
    pub verifier: Verifier,
    pub changes: Changes,
    pub metrics: TaskMetrics,
}

/// Times that follow from the session timeout.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    pub session_timeout: Duration,
    pub ping_interval: Duration,
    /// A worker that hears nothing for so long goes elsewhere.
    pub silence_timeout: Duration,
}

impl App {
    /// Times that follow from the session timeout.
    pub fn timings(&self) -> Timings {
        let session_timeout = self.settings.session_timeout();
        Timings { session_timeout, ping_interval: session_timeout / 10, silence_timeout: session_timeout / 3 }
    }

    /// Says that tasks have changed: whoever reads them from now on reads them anew. While Redis does not answer, the
    /// relay of events says it later.
    pub async fn outdate(&self, namespace: Namespace, ids: &[Uuid]) {
        let changes: Vec<_> = ids.iter().map(|id| Change { namespace, id: Some(*id), version: None }).collect();
        self.cache.outdate(&changes).await;
    }

    /// The same of something else in a namespace, such as a queue.
    pub async fn outdate_lists(&self, namespace: Namespace) {
        self.cache.outdate(&[Change { namespace, id: None, version: None }]).await;
    }

    /// Tells the leader of runs that went back.
    pub async fn tell_returned(&self, returned: Vec<Returned>) {
        let change = |run: &Returned| Change { namespace: run.namespace, id: Some(run.id), version: None };
        let changes: Vec<_> = returned.iter().map(change).collect();
        self.wakes.ended(returned.iter().map(|run| (run.namespace, run.queue.as_str(), run.id, run.run)));
        self.wakes.ready(returned.into_iter().filter_map(|run| run.ready));
        self.cache.outdate(&changes).await;
    }

    /// Tells a pod to stop a run of one of its workers. If it is lost, the comparison does it.
    pub async fn tell_stop(&self, pod: &str, id: Uuid, run: i32, session: Uuid, reason: StopReason) {
        let order = StopRun {
            id: id.as_bytes().to_vec().into(),
            run,
            session: session.as_bytes().to_vec().into(),
            reason: reason.into(),
        };
        self.tell_stops(pod, vec![order]).await;
    }

    /// The same for several runs.
    pub async fn tell_stops(&self, pod: &str, runs: Vec<StopRun>) {
        self.bus.tell(self.bus.names().stop(pod), &StopRuns { runs }).await;
        fault::reach(FaultPoint::StopPublished);
    }
}
