//! The connection, and what our processes say to each other without keeping it.

use std::time::Duration;

use async_nats::{
    ConnectOptions,
    connection::State,
    jetstream::{self, stream},
};
use futures::{Stream, StreamExt};
use prost::Message;

use crate::Names;

/// How old a work message may become: the comparison of pod and database has repaired by then what it carried.
const WORK_AGE_MAX: Duration = Duration::from_secs(30);
/// How long a request to the server may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How long what may be lost may wait for a connection that takes nothing.
const TELL_TIMEOUT: Duration = Duration::from_millis(500);

/// How to connect.
#[derive(Clone, Debug)]
pub struct BusOptions {
    /// `nats://user:password@host:port`, several separated by commas.
    pub url: String,
    /// What all names begin with.
    pub prefix: String,
    /// Who connects, for the server's lists.
    pub client_name: String,
    /// How long relayed events are kept.
    pub events_age_max: Duration,
    /// How many bytes of relayed events are kept.
    pub events_bytes_max: i64,
}

/// A connection to NATS that reconnects by itself.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) jetstream: jetstream::Context,
    names: Names,
    events_age_max: Duration,
    events_bytes_max: i64,
}

impl Bus {
    /// Connects; a server that is not there yet is waited for in the background.
    ///
    /// # Errors
    /// If the URL cannot be read.
    pub async fn connect(options: BusOptions) -> anyhow::Result<Self> {
        let servers = options
            .url
            .split(',')
            .map(|url| url.trim().parse::<async_nats::ServerAddr>())
            .collect::<Result<Vec<_>, _>>()?;
        // The client would not take them from the URL by itself.
        let credentials = servers.iter().find_map(|server| Some((server.username()?, server.password())));
        let connect = match credentials {
            Some((user, Some(password))) => ConnectOptions::with_user_and_password(user.into(), password.into()),
            Some((token, None)) => ConnectOptions::with_token(token.into()),
            None => ConnectOptions::new(),
        };
        let client = connect
            .name(&options.client_name)
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(3))
            .request_timeout(Some(REQUEST_TIMEOUT))
            .ping_interval(Duration::from_secs(5))
            .reconnect_delay_callback(|attempts| Duration::from_millis(50 << attempts.min(5)))
            .event_callback(|event| async move { tracing::debug!(%event, "NATS") })
            .connect(servers)
            .await?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(REQUEST_TIMEOUT);
        Ok(Self {
            client,
            jetstream,
            names: Names::new(options.prefix),
            events_age_max: options.events_age_max,
            events_bytes_max: options.events_bytes_max,
        })
    }

    /// The names of this installation.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Whether the server is connected now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The greatest message that the server takes.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        match self.client.server_info().max_payload {
            0 => 1_048_576,
            bytes => bytes,
        }
    }

    /// Says something to whoever listens. It may be lost, and is while the server is away: the client would keep it,
    /// stale, and make whoever speaks wait once it keeps too much.
    pub async fn tell(&self, subject: String, message: &impl Message) {
        if !self.is_connected() {
            tracing::debug!(subject, "a message was not sent: NATS is away");
            return;
        }
        let publish = self.client.publish(subject, message.encode_to_vec().into());
        match tokio::time::timeout(TELL_TIMEOUT, publish).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a message was not sent"),
            Err(_) => tracing::debug!("a message was not sent: NATS takes nothing"),
        }
    }

    /// Hears what is said on a subject; over reconnects, with gaps. What cannot be read is passed over.
    ///
    /// # Errors
    /// If the client is closed.
    pub async fn listen<M: Message + Default>(
        &self,
        subject: String,
    ) -> anyhow::Result<impl Stream<Item = M> + Unpin + use<M>> {
        let messages = self.client.subscribe(subject).await?;
        Ok(messages.filter_map(|message| {
            let decoded = M::decode(message.payload)
                .inspect_err(|error| tracing::warn!(subject = %message.subject, %error, "a message cannot be read"))
                .ok();
            futures::future::ready(decoded)
        }))
    }

    /// Makes the streams, or brings their configuration up to date. Only the leader does.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn ensure_streams(&self) -> anyhow::Result<()> {
        let work = stream::Config {
            name: self.names.work_stream(),
            description: Some("Started runs on their way to the pod that holds their worker's stream".to_owned()),
            subjects: vec![self.names.work("*")],
            retention: stream::RetentionPolicy::WorkQueue,
            // Nothing relies on it: what is lost here goes back to its queue within seconds.
            storage: stream::StorageType::Memory,
            max_age: WORK_AGE_MAX,
            max_bytes: 256 * 1_048_576,
            discard: stream::DiscardPolicy::Old,
            duplicate_window: Duration::from_secs(1),
            ..stream::Config::default()
        };
        let events = stream::Config {
            name: self.names.events_stream(),
            description: Some("Every change of every task, in order".to_owned()),
            subjects: vec![self.names.events()],
            retention: stream::RetentionPolicy::Limits,
            storage: stream::StorageType::File,
            max_age: self.events_age_max,
            max_bytes: self.events_bytes_max,
            discard: stream::DiscardPolicy::Old,
            allow_direct: true,
            duplicate_window: Duration::from_secs(1),
            ..stream::Config::default()
        };
        self.jetstream.create_or_update_stream(work).await?;
        self.jetstream.create_or_update_stream(events).await?;
        Ok(())
    }
}
