//! Metrics: a registry that is passed in, and its text for Prometheus.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use prometheus_client::{encoding::text, registry::Registry};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process, or of one service of a test. Clones share the registry.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<RwLock<Registry>>,
}

impl Metrics {
    /// An empty registry. All names begin with `taskyard_`.
    #[must_use]
    pub fn new() -> Self {
        Self { registry: Arc::new(RwLock::new(Registry::with_prefix("taskyard"))) }
    }

    /// Adds metrics.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics as text, in the OpenMetrics format.
    ///
    /// # Errors
    /// If a collector fails to write itself.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry.read().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn what_is_registered_is_rendered() {
        let metrics = Metrics::new();
        let counter = Counter::<u64>::default();
        metrics.register(|registry| registry.register("tasks_created", "Created tasks", counter.clone()));
        counter.inc();
        assert!(metrics.clone().render().unwrap().contains("taskyard_tasks_created_total 1\n"));
    }
}
