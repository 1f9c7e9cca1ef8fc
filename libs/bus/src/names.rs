//! Streams and subjects. Everything begins with a prefix, so that several installations share one server.

/// The names of one installation.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The stream of started runs on their way to a pod.
    #[must_use]
    pub fn work_stream(&self) -> String {
        format!("{}_WORK", self.prefix.to_uppercase())
    }

    /// The stream of relayed events.
    #[must_use]
    pub fn events_stream(&self) -> String {
        format!("{}_EVENTS", self.prefix.to_uppercase())
    }

    /// Started runs for one pod.
    #[must_use]
    pub fn work(&self, pod: &str) -> String {
        format!("{}.work.{pod}", self.prefix)
    }

    /// Relayed events.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// Wakes for the leader.
    #[must_use]
    pub fn wake(&self) -> String {
        format!("{}.leader.wake", self.prefix)
    }

    /// Free slots for the leader.
    #[must_use]
    pub fn demand(&self) -> String {
        format!("{}.leader.demand", self.prefix)
    }

    /// The leader's beacon.
    #[must_use]
    pub fn beacon(&self) -> String {
        format!("{}.leader.beacon", self.prefix)
    }

    /// What the queues could use of workers, as the leader counts it.
    #[must_use]
    pub fn backlog(&self) -> String {
        format!("{}.leader.backlog", self.prefix)
    }

    /// Runs to be stopped by one pod.
    #[must_use]
    pub fn stop(&self, pod: &str) -> String {
        format!("{}.stop.{pod}", self.prefix)
    }

    /// Progress of runs of one namespace, or of all with `*`.
    #[must_use]
    pub fn progress(&self, namespace: &str) -> String {
        format!("{}.progress.{namespace}", self.prefix)
    }
}
