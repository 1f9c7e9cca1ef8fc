//! Redis (or Valkey): the lock that decides who may try to lead, rate limits, kept answers, and the channel on which all processes
//! hear what has changed of what they hold in memory.
//!
//! Nothing is kept only here, and nothing waits for it: every call fails within a second.

mod cache;
mod rate;
mod spare;

pub use cache::{Answer, Cache, Change, Found, Kept, Place};
pub use rate::{Admission, Rate};
pub use spare::Spare;

use std::time::Duration;

use fred::prelude::{
    Builder, Client, ClientLike, Config, EventInterface, Expiration, KeysInterface, LuaInterface, PubsubInterface,
    ReconnectPolicy, SetOptions,
};

use tokio::{sync::broadcast::error::RecvError, task::AbortHandle};
use tokio_util::sync::CancellationToken;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_millis(800);

/// Renews the lock if it is still ours.
const RENEW: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then \
    return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end";
/// Releases the lock if it is still ours.
const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

/// A connection that reconnects by itself.
#[derive(Clone, Debug)]
pub struct Redis {
    client: Client,
    builder: Builder,
    prefix: String,
}

impl Redis {
    /// Connects; a server that is not there yet is waited for in the background. All keys begin with `prefix`.
    ///
    /// # Errors
    /// If the URL cannot be read.
    pub fn connect(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let mut builder = Builder::from_config(Config::from_url(url)?);
        builder.with_performance_config(|config| config.default_command_timeout = CALL_TIMEOUT);
        builder.with_connection_config(|config| {
            config.connection_timeout = Duration::from_secs(2);
            config.internal_command_timeout = Duration::from_secs(2);
            // A call fails rather than waits for a server that is gone.
            config.max_command_attempts = 1;
            config.unresponsive.max_timeout = Some(Duration::from_secs(2));
            config.unresponsive.interval = Duration::from_millis(500);
        });
        builder.set_policy(ReconnectPolicy::new_exponential(0, 50, 2_000, 2));
        let client = builder.build()?;
        drop(client.connect());
        Ok(Self { client, builder, prefix: prefix.to_owned() })
    }

    /// Tells all processes of a change.
    ///
    /// # Errors
    /// If Redis cannot be reached.
    pub async fn tell_changed(&self, message: &str) -> Result<(), fred::error::Error> {
        self.client.publish(self.changed(), message).await
    }

    /// Hears of changes until `stop`, on a connection of its own that is made again when it breaks. What is told
    /// meanwhile is not heard: whoever must know all of it has another way to find out.
    pub async fn hear_changed(&self, mut hear: impl FnMut(&str), stop: CancellationToken) {
        loop {
            let heard = async {
                if let Err(error) = self.hear_once(&mut hear).await {
                    tracing::debug!(%error, "changes cannot be heard");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            };
            tokio::select! {
                () = heard => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn hear_once(&self, hear: &mut impl FnMut(&str)) -> Result<(), fred::error::Error> {
        let client = self.builder.build_subscriber_client()?;
        let mut messages = client.message_rx();
        let connection = client.init().await?;
        let resubscribing = client.manage_subscriptions();
        let _ends = Ends([connection.abort_handle(), resubscribing.abort_handle()]);
        client.subscribe(self.changed()).await?;
        loop {
            match messages.recv().await {
                Ok(message) => {
                    if let Some(text) = message.value.as_str() {
                        hear(&text);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }

    fn changed(&self) -> String {
        format!("{}:changed", self.prefix)
    }

    /// A lock of this name.
    #[must_use]
    pub fn lock(&self, name: &str, holder: &str, life: Duration) -> Lock {
        Lock {
            client: self.client.clone(),
            key: format!("{}:lock:{name}", self.prefix),
            holder: holder.to_owned(),
            life_ms: i64::try_from(life.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Ends the connection.
    pub async fn close(&self) {
        // What it would say is of no use at the end.
        let _ = self.client.quit().await;
    }
}

/// Ends what serves a connection when nobody hears any more.
struct Ends([AbortHandle; 2]);

impl Drop for Ends {
    fn drop(&mut self) {
        for handle in &self.0 {
            handle.abort();
        }
    }
}

/// A lock that expires by itself. It decides who may *try*; who may *write* is decided by Postgres.
#[derive(Clone, Debug)]
pub struct Lock {
    client: Client,
    key: String,
    holder: String,
    life_ms: i64,
}

impl Lock {
    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// If Redis cannot be reached.
    pub async fn acquire(&self) -> Result<bool, fred::error::Error> {
        let expiry = Some(Expiration::PX(self.life_ms));
        let set: Option<String> = self.client.set(&self.key, &self.holder, expiry, Some(SetOptions::NX), false).await?;
        Ok(set.is_some())
    }

    /// Extends the lock. False: it is not ours any more.
    ///
    /// # Errors
    /// If Redis cannot be reached.
    pub async fn renew(&self) -> Result<bool, fred::error::Error> {
        let done: i64 =
            self.client.eval(RENEW, self.key.as_str(), vec![self.holder.clone(), self.life_ms.to_string()]).await?;
        Ok(done == 1)
    }

    /// Lets the lock go, if it is ours.
    ///
    /// # Errors
    /// If Redis cannot be reached.
    pub async fn release(&self) -> Result<(), fred::error::Error> {
        let _: i64 = self.client.eval(RELEASE, self.key.as_str(), self.holder.as_str()).await?;
        Ok(())
    }
}
