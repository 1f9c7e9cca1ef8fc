//! Scratch.
#![allow(missing_docs, clippy::unwrap_used)]
use clap::Parser;
use taskyard_runtime::{health::Health, metrics::Metrics};
#[derive(Parser)]
enum Cmd {
    Tasks {
        #[command(flatten)]
        c: taskyard_tasks::Config,
        #[arg(long, env = "TASKYARD_OPS_LISTEN")]
        ops: Option<String>,
    },
    Worker {
        #[command(flatten)]
        c: taskyard_worker::Config,
        #[arg(long, env = "TASKYARD_OPS_LISTEN")]
        ops: Option<String>,
    },
    Migrate {
        #[arg(env = "DATABASE_URL")]
        url: String,
    },
    Bench {
        #[command(flatten)]
        o: taskyard_bench::Options,
    },
}
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let cmd = Cmd::parse();
    if let Cmd::Bench { o } = cmd {
        return taskyard_bench::run(o).await;
    }
    let stop = taskyard_runtime::shutdown::on_signal()?;
    match cmd {
        Cmd::Tasks { c, .. } => {
            let l = tokio::net::TcpListener::bind(c.settings.listen).await?;
            taskyard_tasks::run(c.check()?, l, Health::new(), Metrics::new(), stop).await
        }
        Cmd::Worker { c, .. } => taskyard_worker::run(c, stop).await,
        Cmd::Migrate { url } => taskyard_tasks::migrate(&url).await,
        Cmd::Bench { .. } => unreachable!(),
    }
}
