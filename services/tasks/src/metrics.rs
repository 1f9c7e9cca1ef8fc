//! The service's metrics.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
};
use taskyard_core::{TaskState, schedule::TickKind};
use taskyard_runtime::metrics::Metrics;

/// Counters and gauges of one tasks process.
#[derive(Clone, Debug)]
pub struct TaskMetrics(Arc<Families>);

#[derive(Debug)]
struct Families {
    created: Counter,
    started: Counter,
    pushed: Counter,
    returned: Family<ReturnLabels, Counter>,
    finished: Family<StateLabels, Counter>,
    sessions: Gauge,
    leader: Gauge,
    term: Gauge,
    start_seconds: Histogram,
    start_size: Histogram,
    relay_lag_seconds: Family<HolderLabels, Gauge<f64, AtomicU64>>,
    relayed: Counter,
    repaired: Family<AnomalyLabels, Counter>,
    ticks: Family<TickLabels, Counter>,
    waiting: Gauge<i64, AtomicI64>,
    indexed: Counter,
    index_lag_seconds: Gauge<f64, AtomicU64>,
    index_filling: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReturnLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TickLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HolderLabels {
    holder: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnomalyLabels {
    anomaly: &'static str,
}

impl TaskMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        let families = Families {
            created: Counter::default(),
            started: Counter::default(),
            pushed: Counter::default(),
            returned: Family::default(),
            finished: Family::default(),
            sessions: Gauge::default(),
            leader: Gauge::default(),
            term: Gauge::default(),
            start_seconds: Histogram::new(exponential_buckets(0.000_25, 2.0, 14)),
            start_size: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            relay_lag_seconds: Family::default(),
            relayed: Counter::default(),
            repaired: Family::default(),
            ticks: Family::default(),
            waiting: Gauge::default(),
            indexed: Counter::default(),
            index_lag_seconds: Gauge::default(),
            index_filling: Gauge::default(),
        };
        metrics.register(|registry| {
            registry.register("tasks_created", "Tasks created", families.created.clone());
            registry.register("tasks_started", "Runs started by this process as leader", families.started.clone());
            registry.register("tasks_pushed", "Runs pushed to workers", families.pushed.clone());
            registry.register("tasks_returned", "Runs sent back to their queue, by reason", families.returned.clone());
            registry.register("tasks_finished", "Ends of runs, by the state they led to", families.finished.clone());
            registry.register("worker_sessions", "Workers whose streams end here", families.sessions.clone());
            registry.register("leader", "1 if this process leads", families.leader.clone());
            registry.register("leader_term", "The term in which this process leads", families.term.clone());
            registry.register(
                "start_duration_seconds",
                "How long one start statement took",
                families.start_seconds.clone(),
            );
            registry.register("start_size", "Tasks of one start statement", families.start_size.clone());
            registry.register(
                "events_lag_seconds",
                "Age of the transaction that holds up the readers of events, and whose it is; 0 without one",
                families.relay_lag_seconds.clone(),
            );
            registry.register("events_relayed", "Events relayed by this process as leader", families.relayed.clone());
            registry.register("anomalies_repaired", "Rows that the reconciler repaired", families.repaired.clone());
            registry.register("schedule_ticks", "Ticks of schedules, by what became of them", families.ticks.clone());
            registry.register("lanes_waiting", "Ready tasks in the leader's memory", families.waiting.clone());
            registry.register(
                "search_tasks_indexed",
                "Tasks that this process as leader put into the search index, changed ones anew",
                families.indexed.clone(),
            );
            registry.register(
                "search_lag_seconds",
                "How old the last event is that the search index has, while there are more",
                families.index_lag_seconds.clone(),
            );
            registry.register(
                "search_filling",
                "1 while the search index goes through all tasks",
                families.index_filling.clone(),
            );
        });
        Self(Arc::new(families))
    }

    pub fn created(&self, tasks: usize) {
        self.0.created.inc_by(tasks as u64);
    }

    pub fn started(&self, tasks: usize, seconds: f64) {
        self.0.started.inc_by(tasks as u64);
        self.0.start_seconds.observe(seconds);
        self.0.start_size.observe(tasks as f64);
    }

    pub fn pushed(&self, runs: usize) {
        self.0.pushed.inc_by(runs as u64);
    }

    pub fn returned(&self, reason: &'static str, runs: usize) {
        self.0.returned.get_or_create(&ReturnLabels { reason }).inc_by(runs as u64);
    }

    pub fn finished(&self, to: TaskState) {
        self.finished_many(to, 1);
    }

    pub fn finished_many(&self, to: TaskState, tasks: usize) {
        self.0.finished.get_or_create(&StateLabels { state: to.as_str() }).inc_by(tasks as u64);
    }

    pub fn sessions(&self, open: usize) {
        self.0.sessions.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub fn leads(&self, term: Option<i64>) {
        self.0.leader.set(i64::from(term.is_some()));
        self.0.term.set(term.unwrap_or(0));
    }

    pub fn relayed(&self, events: usize) {
        self.0.relayed.inc_by(events as u64);
    }

    /// Who holds up the readers of events, and for how long.
    pub fn relay_lag(&self, holder: Option<(&str, f64)>) {
        self.0.relay_lag_seconds.clear();
        let (holder, seconds) = holder.unwrap_or(("", 0.0));
        self.0.relay_lag_seconds.get_or_create(&HolderLabels { holder: holder.to_owned() }).set(seconds);
    }

    pub fn repaired(&self, anomaly: &'static str, rows: u64) {
        self.0.repaired.get_or_create(&AnomalyLabels { anomaly }).inc_by(rows);
    }

    /// A tick of a schedule, and what became of it.
    pub fn ticked(&self, kind: TickKind) {
        self.0.ticks.get_or_create(&TickLabels { kind: kind.as_str() }).inc();
    }

    /// What the search index has taken in, and how it stands.
    pub fn indexed(&self, tasks: usize, lag_s: f64, is_filling: bool) {
        self.0.indexed.inc_by(tasks as u64);
        self.0.index_lag_seconds.set(lag_s);
        self.0.index_filling.set(is_filling.into());
    }

    pub fn waiting(&self, tasks: usize) {
        self.0.waiting.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    }
}
