//! `taskyard queue`.

use std::process::ExitCode;

use clap::Subcommand;
use taskyard_client::{Client, v1};
use taskyard_core::limits::PAGE_SIZE_MAX;

use crate::{exit::Outcome, json, output::Output, server::ServerArgs, text::QueueTable};

/// Which server, and what to do.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List queues with what waits and runs in them
    List,
    /// Start nothing more in a queue; what runs goes on
    Pause {
        /// The queue
        name: String,
    },
    /// End a pause
    Resume {
        /// The queue
        name: String,
    },
    /// Set how many tasks of a queue may run at once
    Limit {
        /// The queue
        name: String,
        /// So many; 0 for no limit
        #[arg(long, value_name = "COUNT")]
        concurrency: u32,
    },
}

/// Does it.
pub async fn run(args: Args) -> Outcome {
    let client = args.server.connect().await?;
    let mut output = args.server.output();
    let mut table = QueueTable::new();
    let changed = match args.command {
        Command::List => return list(&client, &mut output, &mut table).await,
        Command::Pause { name } => client.pause_queue(name).await?,
        Command::Resume { name } => client.resume_queue(name).await?,
        Command::Limit { name, concurrency } => client.set_queue_limits(name, concurrency).await?,
    };
    show(vec![changed], &mut output, &mut table)?;
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, output: &mut Output, table: &mut QueueTable) -> Outcome {
    let mut request = v1::ListQueuesRequest { page_size: PAGE_SIZE_MAX, ..Default::default() };
    loop {
        let page = client.list_queues(request.clone()).await?;
        show(page.queues, output, table)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn show(queues: Vec<v1::Queue>, output: &mut Output, table: &mut QueueTable) -> anyhow::Result<()> {
    if output.is_json() {
        for queue in queues {
            output.json(&json::Queue::from(queue))?;
        }
    } else if let Some(lines) = table.lines(queues) {
        output.line(&lines)?;
    }
    output.flush()
}
