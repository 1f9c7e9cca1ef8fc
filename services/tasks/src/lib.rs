//! The tasks service: takes tasks in, keeps them in Postgres, starts them on workers, and tells of every change.
//!
//! Several processes run side by side; the leader among them also runs the dispatcher. Never in here: HTTP for the
//! outside, another service's tables, or anything that is kept only in Redis or NATS.

mod app;
mod backlog;
mod config;
mod dispatcher;
pub mod fault;
mod grpc;
mod identity;
mod metrics;
mod progress;
mod quotas;
mod rebuild;
mod reindex;
mod sessions;
pub mod setup;
mod store;
mod wakes;
mod watch;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use sqlx::PgPool;
use taskyard_bus::{Bus, BusOptions};
use taskyard_postgres::{GroupCommit, GroupOptions};
use taskyard_redis::{Cache, Redis, Spare};
use taskyard_runtime::{
    grpc::{CatchPanicLayer, ObserveLayer},
    health::Health,
    identity::{AuthLayer, Identities},
    metrics::Metrics,
    supervise::Supervisor,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{
    app::{
        App,
        creates::{Creates, KnownQueues},
        finishes::Finishes,
    },
    backlog::HeardBacklog,
    identity::{Changes, Issuers, KeyUses, Passwords, Signer, Verifier},
    metrics::TaskMetrics,
    quotas::Quotas,
    sessions::{Sessions, demand::DemandTeller, intake, upkeep},
    wakes::Wakes,
    watch::Watches,
};
pub use self::{
    config::{Checked, Config, Settings, TrustedIssuer},
    rebuild::{Difference, Progress, Report, rebuild},
    reindex::{ReindexProgress, reindex},
};

/// Serves until `shutdown`, then sends the workers to other pods and ends what is under way.
///
/// # Errors
/// If the schema is older than this binary needs, or a part that it cannot do without fails.
pub async fn run(
    config: Checked,
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    health.ready("tasks: postgres", false);
    health.ready("tasks: nats", false);
    let pod = format!("p{}", uuid::Uuid::new_v4().simple());
    let settings = config.settings.clone();
    let options = taskyard_postgres::pool::options(config.postgres.url.expose(), &format!("taskyard-tasks {pod}"))
        .context("DATABASE_URL cannot be read")?;
    let pool = taskyard_postgres::pool::connect(options, config.postgres.pool_size, |connection| {
        Box::pin(store::epoch::epoch_check(connection))
    });
    let search_pool = search_pool(config.postgres.url.expose(), &pod)?;
    let index_pool = index_pool(config.postgres.url.expose(), &format!("taskyard-index {pod}"))?;
    wait_for_schema(&pool, &shutdown).await?;
    if shutdown.is_cancelled() {
        return Ok(());
    }
    let bus = Bus::connect(BusOptions {
        url: config.nats_url.expose().to_owned(),
        prefix: settings.prefix.clone(),
        client_name: format!("taskyard-tasks {pod}"),
        events_age_max: Duration::from_secs(settings.events_stream_hours * 3_600),
        events_bytes_max: i64::from(settings.events_stream_mb) * 1_048_576,
    })
    .await
    .context("NATS_URL cannot be read")?;
    let redis = Redis::connect(config.redis_url.expose(), &settings.prefix).context("REDIS_URL cannot be read")?;

    // The loops that end what is under way outlive the order to stop; what they serve is stopped first.
    let last = CancellationToken::new();
    let mut loops = Supervisor::new(&last);
    let stop = shutdown.child_token();

    let signer = Signer::new(pool.clone(), settings.issuer.clone());
    let uses = KeyUses::default();
    let services = config.services.clone();
    let verifier = Verifier { pool: pool.clone(), signer: signer.clone(), services, uses: uses.clone() };
    let identities = Identities::new(verifier.clone());

    let task_metrics = TaskMetrics::new(&metrics);
    let (wakes, publish_wakes) = Wakes::start(bus.clone());
    let cache = Cache::new(Spare::new(redis.clone()));
    let (creates, write_creates) =
        GroupCommit::start(Creates::new(pool.clone(), wakes.clone(), cache.clone()), GroupOptions::default());
    let finishes = Finishes::new(pool.clone(), wakes.clone(), cache.clone(), task_metrics.clone());
    let (finishes, write_finishes) = GroupCommit::start(finishes, GroupOptions::default());
    let app = Arc::new(App {
        pod: pod.clone(),
        settings: settings.clone(),
        pool: pool.clone(),
        search_pool: search_pool.clone(),
        index_pool: index_pool.clone(),
        bus: bus.clone(),
        wakes,
        cache,
        creates,
        finishes,
        queues: KnownQueues::default(),
        sessions: Arc::new(Sessions::default()),
        demand: Arc::new(DemandTeller::default()),
        progress: Arc::default(),
        watches: Arc::new(Watches::default()),
        backlog: HeardBacklog::default(),
        passwords: Passwords::new()?,
        quotas: Quotas::new(pool.clone(), settings.quota()),
        issuers: Issuers::new(&settings.oidc_issuers)?,
        verifier,
        changes: Changes::new(redis.clone(), identities.clone()),
        metrics: task_metrics,
    });

    let last_stop = loops.stop();
    let until_last = |work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        let stop = last_stop.clone();
        async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
            Ok(())
        }
    };
    loops.critical("tasks: creates", until_last(Box::pin(write_creates)));
    loops.critical("tasks: finishes", until_last(Box::pin(write_finishes)));
    loops.critical(
        "tasks: wakes",
        until_last(Box::pin(async move {
            // It ends with the service.
            let _ = publish_wakes.await;
        })),
    );
    loops.critical("tasks: work", intake::take_in(app.clone(), last_stop.clone()));
    loops.critical("tasks: demand", app.demand.clone().run(bus.clone(), pod, app.sessions.clone(), last_stop.clone()));
    loops.critical("tasks: renewals", upkeep::renew(app.clone(), last_stop.clone()));
    loops.critical("tasks: comparison", upkeep::follow_leader(app.clone(), last_stop.clone()));
    loops.critical("tasks: stops", upkeep::hear_stops(app.clone(), last_stop.clone()));
    loops.critical("tasks: progress out", app.progress.clone().tell(bus.clone(), last_stop.clone()));
    loops.critical("tasks: progress in", app.progress.clone().hear(bus.clone(), last_stop.clone()));
    loops.critical("tasks: watches", app.watches.clone().listen(bus.clone(), last_stop.clone()));
    loops.critical("tasks: backlog", HeardBacklog::listen(app.clone(), last_stop.clone()));
    loops.critical("tasks: signing keys", signer.keep(last_stop.clone()));
    loops.critical("tasks: uses of keys", uses.keep(pool.clone(), last_stop.clone()));
    loops.critical("tasks: changes", app.changes.clone().hear(last_stop.clone()));
    loops.critical("tasks: partitions", make_partitions(app.clone(), last_stop.clone()));
    loops.critical("tasks: readiness", watch_readiness(app.clone(), health.clone(), last_stop.clone()));
    let leading = tokio::spawn(dispatcher::run(app.clone(), redis, stop.clone()));
    let serving = tokio::spawn(serve(identities, app.clone(), listener, health.clone(), metrics, stop.clone()));

    let failed = loops.stop();
    let grace = Duration::from_secs(settings.grace_period_s);
    let end = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = failed.cancelled() => {}
        }
        stop.cancel();
        // Another leads at once, and workers move, before this process stops taking part.
        let _ = tokio::time::timeout(grace, leading).await;
        let _ = tokio::time::timeout(grace, serving).await;
        last.cancel();
    };
    let (ended, ()) = tokio::join!(loops.run(grace), end);
    search_pool.close().await;
    index_pool.close().await;
    pool.close().await;
    ended
}

/// What is served, for health checks.
const SERVICES: [&str; 8] = [
    "taskyard.v1.AdminService",
    "taskyard.v1.KeyService",
    "taskyard.v1.NamespaceService",
    "taskyard.v1.QueueService",
    "taskyard.v1.ScheduleService",
    "taskyard.v1.TaskService",
    "taskyard.v1.UserService",
    "taskyard.v1.WorkService",
];

/// Searches that one pod does at once.
const SEARCHES_MAX: u32 = 4;

/// Connections for searches alone.
fn search_pool(database_url: &str, pod: &str) -> anyhow::Result<PgPool> {
    let options = taskyard_postgres::pool::options(database_url, &format!("taskyard-search {pod}"))?.options([
        ("default_transaction_read_only", "on"),
        // A part of the index that takes longer is searched in smaller parts.
        ("statement_timeout", "1s"),
        ("work_mem", "16MB"),
        // What the dictionary calls similar is compared letter by letter afterwards.
        ("pg_trgm.similarity_threshold", "0.2"),
        ("client_min_messages", "warning"),
    ]);
    Ok(taskyard_postgres::pool::connect(options, SEARCHES_MAX, |_| Box::pin(async { Ok(()) })))
}

/// The connection of a reader that fills the search index.
fn index_pool(database_url: &str, name: &str) -> anyhow::Result<PgPool> {
    let options = taskyard_postgres::pool::options(database_url, name)?
        // See store/search_write.rs.
        .options([("default_transaction_isolation", "repeatable read")]);
    Ok(taskyard_postgres::pool::connect(options, 1, |connection| Box::pin(store::epoch::epoch_check(connection))))
}

async fn serve(
    identities: Identities,
    app: Arc<App>,
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let api = grpc::Api::new(app.clone(), stop.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(taskyard_proto::DESCRIPTORS)
        .build_v1()?;
    let health_service = health.grpc_service(&SERVICES).await;
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let drained = {
        let app = app.clone();
        async move {
            stop.cancelled().await;
            // The streams are told to drain; the server waits for them, at most so long.
            let deadline = tokio::time::Instant::now() + Duration::from_secs(app.settings.grace_period_s / 2);
            while app.sessions.len() > 0 && tokio::time::Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            for session in app.sessions.all() {
                session.close();
            }
        }
    };
    tonic::transport::Server::builder()
        .layer(ObserveLayer::new(&metrics))
        .layer(CatchPanicLayer)
        .layer(AuthLayer::new(identities))
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_pending_accept_reset_streams(Some(100))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .max_concurrent_streams(10_000)
        .tcp_nodelay(true)
        .add_service(api.tasks())
        .add_service(api.queues())
        .add_service(api.schedules())
        .add_service(api.work())
        .add_service(api.users())
        .add_service(api.namespaces())
        .add_service(api.keys())
        .add_service(api.admin())
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(incoming, drained)
        .await?;
    Ok(())
}

/// Waits until the schema has what this binary needs: a migration may be under way.
async fn wait_for_schema(pool: &PgPool, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut told = false;
    loop {
        let ready = async {
            // Not from the pool: its connections look at the epoch first, which a missing schema does not have.
            use sqlx::Connection;
            let mut connection = sqlx::PgConnection::connect_with(&pool.connect_options()).await?;
            let ready = store::schema::schema_is_ready(&mut connection).await?;
            connection.close().await?;
            Ok::<_, sqlx::Error>(ready)
        };
        match ready.await {
            Ok(true) => return Ok(()),
            Ok(false) if !told => {
                told = true;
                tracing::warn!("the schema is older than this binary needs; run `taskyard migrate`");
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "Postgres cannot be reached yet"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Makes the partitions ahead, every hour; any pod may.
async fn make_partitions(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let made = async { store::partitions::partition_ensure(&mut *app.pool.acquire().await?).await };
        let wait = match made.await {
            Ok(()) => Duration::from_secs(3_600),
            Err(error) => {
                tracing::warn!(%error, "partitions could not be made");
                Duration::from_secs(10)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Ready while NATS is connected and Postgres answers. Never by who leads, nor by Redis: both can be missing for a
/// while without harm.
async fn watch_readiness(app: Arc<App>, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    let mut failures = 0;
    loop {
        health.ready("tasks: nats", app.bus.is_connected());
        let answers = tokio::time::timeout(Duration::from_secs(3), async {
            sqlx::Acquire::acquire(&app.pool).await?;
            Ok::<_, sqlx::Error>(())
        });
        // A free connection is sign enough; each write of ours says more.
        failures = if matches!(answers.await, Ok(Ok(()))) { 0 } else { failures + 1 };
        health.ready("tasks: postgres", failures < 2 && !app.pool.is_closed());
        app.metrics.sessions(app.sessions.len());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
