//! Relayed events: one message per batch, one after the other, fenced by the stream's last sequence.

use std::{future::IntoFuture, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{self, DeliverPolicy},
    context::PublishErrorKind,
    message::PublishMessage,
    stream::LastRawMessageErrorKind,
};
use futures::StreamExt;
use prost::Message;
use taskyard_proto::internal::EventBatch;

use crate::Bus;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedEvents {
    /// It is in the stream, at this sequence.
    At(u64),
    /// Somebody else has published, or the stream was made anew.
    Mismatch,
}

/// The last batch of the stream.
#[derive(Clone, Debug)]
pub struct LastBatch {
    /// The stream's last sequence; 0 if it never had a message.
    pub sequence: u64,
    /// The batch; none if the stream is empty.
    pub batch: Option<EventBatch>,
}

impl Bus {
    /// Publishes the next batch if the stream's last sequence is still `after`.
    ///
    /// # Errors
    /// If the server cannot be reached or the stream is not there.
    pub async fn publish_events(&self, after: u64, batch: &EventBatch) -> anyhow::Result<PublishedEvents> {
        let message = PublishMessage::build().payload(batch.encode_to_vec().into()).expected_last_sequence(after);
        let published = match self.jetstream.send_publish(self.names().events(), message).await {
            Ok(acknowledged) => acknowledged.into_future().await,
            Err(error) => Err(error),
        };
        match published {
            Ok(acknowledged) => Ok(PublishedEvents::At(acknowledged.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(PublishedEvents::Mismatch),
            Err(error) => Err(error.into()),
        }
    }

    /// The last batch that was published.
    ///
    /// # Errors
    /// If the server cannot be reached or the stream is not there.
    pub async fn last_event_batch(&self) -> anyhow::Result<LastBatch> {
        let stream = self.jetstream.get_stream(self.names().events_stream()).await?;
        match stream.get_last_raw_message_by_subject(&self.names().events()).await {
            Ok(message) => {
                Ok(LastBatch { sequence: message.sequence, batch: Some(EventBatch::decode(message.payload)?) })
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                Ok(LastBatch { sequence: stream.cached_info().state.last_sequence, batch: None })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Hears the batches from now on, in order.
    ///
    /// # Errors
    /// If the server cannot be reached or the stream is not there.
    pub async fn event_log(&self) -> anyhow::Result<EventLog> {
        let stream = self.jetstream.get_stream_no_info(self.names().events_stream()).await?;
        let config = consumer::pull::OrderedConfig {
            deliver_policy: DeliverPolicy::New,
            ..consumer::pull::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await?;
        Ok(EventLog { messages: consumer.messages().await? })
    }
}

/// The batches as they come.
pub struct EventLog {
    messages: consumer::pull::Ordered,
}

impl EventLog {
    /// The next batch. `None`: open it anew, and fetch from the database what lies between.
    pub async fn next(&mut self) -> Option<EventBatch> {
        let message: jetstream::Message = match self.messages.next().await? {
            Ok(message) => message,
            Err(error) => {
                tracing::info!(%error, "the consumer of events is opened anew");
                return None;
            }
        };
        EventBatch::decode(message.payload.clone())
            .inspect_err(|error| tracing::warn!(%error, "a batch of events cannot be read"))
            .ok()
    }

    /// How long without a batch means that something is wrong: the leader publishes a beacon every 5 s.
    pub const SILENCE_MAX: Duration = Duration::from_secs(15);
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}
