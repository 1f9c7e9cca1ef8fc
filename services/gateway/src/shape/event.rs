//! What happened.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use taskyard_core::{Error, EventType, Result};
use taskyard_proto::v1;

use super::{
    described,
    task::state,
    time::{Time, time},
};

/// One page of events.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Events {
    events: Vec<Event>,
    /// Where to read on.
    position: String,
    /// More can be read at once.
    more: bool,
}

/// One change of one task.
#[derive(Debug, Serialize, JsonSchema)]
struct Event {
    /// Later events have later positions.
    position: String,
    time: Option<Time>,
    #[serde(rename = "type")]
    #[schemars(schema_with = "described::event_type")]
    kind_of_event: String,
    namespace: String,
    #[schemars(extend("format" = "uuid"))]
    task_id: String,
    /// The task's version after the change.
    version: u32,
    #[schemars(schema_with = "described::optional_state")]
    from_state: Option<String>,
    #[schemars(schema_with = "described::optional_state")]
    to_state: Option<String>,
    queue: String,
    kind: String,
    /// The task's title as it is when the event is read.
    title: String,
    /// The task's labels as they are when the event is read.
    labels: BTreeMap<String, String>,
    creator: String,
    run: u32,
    attempt: u32,
    error: Option<String>,
    /// Why a run was returned.
    reason: Option<String>,
    /// An attempt was spent.
    counted: bool,
}

impl TryFrom<v1::ListEventsResponse> for Events {
    type Error = Error;

    fn try_from(page: v1::ListEventsResponse) -> Result<Self> {
        let events = page.events.into_iter().map(Event::try_from).collect::<Result<_>>()?;
        Ok(Self { events, position: page.position, more: page.more })
    }
}

impl TryFrom<v1::Event> for Event {
    type Error = Error;

    fn try_from(event: v1::Event) -> Result<Self> {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let some_state = |number: i32| (number != 0).then(|| state(number));
        let kind = i16::try_from(event.r#type).ok().and_then(EventType::from_number);
        Ok(Self {
            position: event.position,
            time: time(event.time)?,
            kind_of_event: kind.map_or_else(|| format!("unknown_{}", event.r#type), |kind| kind.as_str().to_owned()),
            namespace: event.namespace,
            task_id: event.task_id,
            version: event.version,
            from_state: some_state(event.from_state),
            to_state: some_state(event.to_state),
            queue: event.queue,
            kind: event.kind,
            title: event.title,
            labels: event.labels,
            creator: event.creator,
            run: event.run,
            attempt: event.attempt,
            error: some(event.error),
            reason: some(event.reason),
            counted: event.counted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown() {
        let event = v1::Event {
            position: "1.2.3".into(),
            time: Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
            r#type: 4,
            from_state: 4,
            to_state: 3,
            reason: "expired".into(),
            counted: true,
            ..Default::default()
        };
        let page = v1::ListEventsResponse { events: vec![event], position: "1.2.3".into(), more: true };
        assert_eq!(
            serde_json::to_string(&Events::try_from(page).unwrap()).unwrap(),
            r#"{"events":[{"position":"1.2.3","time":"1970-01-01T00:00:00.000000Z","type":"task.returned","namespace":"","task_id":"","version":0,"from_state":"running","to_state":"ready","queue":"","kind":"","title":"","labels":{},"creator":"","run":0,"attempt":0,"error":null,"reason":"expired","counted":true}],"position":"1.2.3","more":true}"#
        );
    }
}
