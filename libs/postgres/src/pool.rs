//! Connections to Postgres.

use std::{future::Future, pin::Pin, str::FromStr, time::Duration};

use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// No transaction of ours is open for longer: a paused process must not hold up the readers of events, nor vacuum.
const TRANSACTION_TIMEOUT: &str = "30s";
/// No statement of ours waits longer for a row.
const LOCK_TIMEOUT: &str = "10s";
/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs on every new connection before its first use.
pub type OnConnect = fn(&mut PgConnection) -> Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + '_>>;

/// How to connect.
///
/// # Errors
/// If the URL cannot be read.
pub fn options(url: &str, application_name: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name(application_name).statement_cache_capacity(256).options([
        ("transaction_timeout", TRANSACTION_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        // Plans are made once for statements whose arrays differ in length only.
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
        // Every statement of ours goes by an index. A plan that was made while a table was small must not read all of
        // it, or hash all of it, once it has grown.
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ]))
}

/// A pool that connects when it is first used, so that a slow database does not keep a process from starting.
#[must_use]
pub fn connect(options: PgConnectOptions, connections_max: u32, on_connect: OnConnect) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A broken connection is noticed by the statement that uses it, and every statement of ours can be repeated;
        // a test before each costs a fifth of the throughput.
        .test_before_acquire(false)
        .idle_timeout(Duration::from_secs(300))
        .after_connect(move |connection, _| Box::pin(async move { on_connect(connection).await }))
        .connect_lazy_with(options)
}
