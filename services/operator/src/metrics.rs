//! What can be asked for, and its values.

use std::{collections::BTreeMap, time::Duration};

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};
use taskyard_client::{
    Error, Pods,
    v1::{Backlog, GetBacklogRequest},
};
use tokio::time::Instant;

use crate::{api, selector::Selector};

/// What a selector can name.
pub const LABELS: [&str; 3] = ["namespace", "queue", "kind"];

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// What could run now, and what runs.
    Backlog,
    /// How long the oldest task that could run now has waited.
    OldestWaitingSeconds,
    /// Slots of workers in which a task runs.
    WorkerSlotsUsed,
}

/// What the queues could use of workers, as the leader last told it.
pub async fn backlogs(pods: &Pods, deadline: Instant) -> Result<Vec<Backlog>, Error> {
    let answer = pods.call(deadline, async |pod| pod.queues().get_backlog(GetBacklogRequest {}).await).await?;
    Ok(answer.backlogs)
}

impl Metric {
    pub const ALL: [Self; 3] = [Self::Backlog, Self::OldestWaitingSeconds, Self::WorkerSlotsUsed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Backlog => "taskyard_backlog",
            Self::OldestWaitingSeconds => "taskyard_oldest_waiting_seconds",
            Self::WorkerSlotsUsed => "taskyard_worker_slots_used",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// The values that a selector chooses. The autoscaler adds them up: there is one for each queue and kind, and one
    /// for all of them where a sum would make no sense. A queue of which the leader tells nothing has nothing to do.
    pub fn values(self, backlogs: &[Backlog], selector: &Selector) -> Value {
        let chosen = backlogs.iter().filter_map(|backlog| {
            let labels = BTreeMap::from([
                ("namespace", backlog.namespace.as_str()),
                ("queue", backlog.queue.as_str()),
                ("kind", backlog.kind.as_str()),
            ]);
            selector.matches(&labels).then_some((labels, backlog))
        });
        let mut values: Vec<(BTreeMap<&str, &str>, u64)> = match self {
            Self::Backlog => chosen.map(|(labels, backlog)| (labels, backlog.startable + backlog.running)).collect(),
            Self::WorkerSlotsUsed => chosen.map(|(labels, backlog)| (labels, backlog.running)).collect(),
            Self::OldestWaitingSeconds => {
                let age = |backlog: &Backlog| {
                    let age = backlog.oldest_startable_age.and_then(|age| Duration::try_from(age).ok());
                    age.unwrap_or_default().as_secs()
                };
                chosen.map(|(_, backlog)| age(backlog)).max().map(|age| (BTreeMap::new(), age)).into_iter().collect()
            }
        };
        if values.is_empty() {
            values.push((BTreeMap::new(), 0));
        }
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let items: Vec<Value> = values
            .into_iter()
            .map(|(labels, value)| {
                json!({ "metricName": self.name(), "metricLabels": labels, "timestamp": now, "value": value.to_string() })
            })
            .collect();
        json!({
            "kind": "ExternalMetricValueList", "apiVersion": format!("{}/{}", api::GROUP, api::VERSION), "metadata": {},
            "items": items,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(metric: Metric, selector: &str) -> Vec<(Value, Value)> {
        let backlog = |queue: &str, kind: &str, startable, running, seconds| Backlog {
            namespace: "default".into(),
            queue: queue.into(),
            kind: kind.into(),
            startable,
            running,
            oldest_startable_age: Duration::from_secs(seconds).try_into().ok(),
        };
        let backlogs =
            [backlog("mail", "http", 5, 2, 40), backlog("mail", "send", 1, 0, 9), backlog("cron", "http", 0, 3, 0)];
        let list = metric.values(&backlogs, &Selector::parse(selector, &LABELS).unwrap());
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["metricLabels"].clone(), item["value"].clone()))
            .collect()
    }

    #[test]
    fn each_queue_and_kind_has_a_value() {
        let http = json!({ "namespace": "default", "queue": "mail", "kind": "http" });
        let send = json!({ "namespace": "default", "queue": "mail", "kind": "send" });
        let cron = json!({ "namespace": "default", "queue": "cron", "kind": "http" });
        assert_eq!(
            values(Metric::Backlog, ""),
            [(http.clone(), json!("7")), (send, json!("1")), (cron.clone(), json!("3"))]
        );
        assert_eq!(values(Metric::WorkerSlotsUsed, "kind=http"), [(http, json!("2")), (cron, json!("3"))]);
    }

    #[test]
    fn the_oldest_of_all_is_one_value() {
        assert_eq!(values(Metric::OldestWaitingSeconds, ""), [(json!({}), json!("40"))]);
        assert_eq!(values(Metric::OldestWaitingSeconds, "kind=send"), [(json!({}), json!("9"))]);
    }

    #[test]
    fn a_queue_without_tasks_has_zero() {
        for metric in Metric::ALL {
            assert_eq!(values(metric, "queue=new"), [(json!({}), json!("0"))]);
        }
    }
}
