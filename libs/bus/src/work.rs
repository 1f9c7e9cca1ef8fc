//! Started runs, from the leader to the pods.

use std::{future::IntoFuture, time::Duration};

use async_nats::jetstream::{self, consumer};
use futures::StreamExt;
use prost::Message;
use taskyard_proto::internal::Work;

use crate::Bus;

impl Bus {
    /// Publishes work for a pod. The future that is returned answers once the stream has it; the next message to the
    /// pod need not wait for it.
    ///
    /// # Errors
    /// If the message cannot be sent.
    pub async fn publish_work(
        &self,
        pod: &str,
        work: &Work,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
        let acknowledged = self.jetstream.publish(self.names().work(pod), work.encode_to_vec().into()).await?;
        Ok(async move {
            acknowledged.into_future().await?;
            Ok(())
        })
    }

    /// The work of one pod, each message once.
    ///
    /// # Errors
    /// If the stream is not there or the server cannot be reached.
    pub async fn work_messages(&self, pod: &str) -> anyhow::Result<WorkMessages> {
        let config = consumer::pull::Config {
            name: Some(pod.to_owned()),
            filter_subject: self.names().work(pod),
            ack_policy: consumer::AckPolicy::Explicit,
            // Never again: what was lost after its delivery is repaired by the comparison with the database.
            max_deliver: 1,
            max_ack_pending: -1,
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            ..consumer::pull::Config::default()
        };
        let stream = self.jetstream.get_stream_no_info(self.names().work_stream()).await?;
        let consumer = stream.create_consumer(config).await?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(500)
            .expires(Duration::from_secs(10))
            .heartbeat(Duration::from_secs(2))
            .messages()
            .await?;
        Ok(WorkMessages { messages })
    }
}

/// The work of one pod.
pub struct WorkMessages {
    messages: consumer::pull::Stream,
}

impl WorkMessages {
    /// The next message. `None`: the consumer is broken or gone; open it anew.
    pub async fn next(&mut self) -> Option<Work> {
        loop {
            let message: jetstream::Message = match self.messages.next().await? {
                Ok(message) => message,
                Err(error) => {
                    tracing::info!(%error, "the consumer of work is opened anew");
                    return None;
                }
            };
            // Not waited for: if it is lost, the message goes with its age.
            if let Err(error) = message.ack().await {
                tracing::debug!(%error, "a work message was not acknowledged");
            }
            match Work::decode(message.payload.clone()) {
                Ok(work) => return Some(work),
                Err(error) => tracing::warn!(%error, "a work message cannot be read"),
            }
        }
    }
}

impl std::fmt::Debug for WorkMessages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkMessages").finish_non_exhaustive()
    }
}
