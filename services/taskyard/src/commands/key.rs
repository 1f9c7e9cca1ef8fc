//! `taskyard key`.

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use taskyard_client::v1;
use taskyard_core::limits::PAGE_SIZE_MAX;
use taskyard_proto::convert::timestamp_to_proto;

use crate::{
    exit::Outcome,
    json,
    output::{Output, note},
    read::time,
    server::ServerArgs,
    text::KeyTable,
};

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
    /// Make a key for a program or worker; it is shown once
    Create {
        /// What it is for
        name: String,
        /// A right: tasks:read, tasks:write, work or admin; repeat it for more
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<String>,
        /// A queue that it may touch; repeat it for more; all if not given
        #[arg(long = "queue", value_name = "QUEUE")]
        queues: Vec<String>,
        /// When it ends by itself, as in RFC 3339; never if not given
        #[arg(long, value_parser = time, value_name = "TIME")]
        expires: Option<DateTime<Utc>>,
    },
    /// List the namespace's keys, newest first
    List,
    /// End a key: whatever shows it is refused within 5 seconds
    Revoke {
        /// The key's id
        id: String,
    },
}

/// Does it.
pub async fn run(args: Args) -> Outcome {
    let client = args.server.connect().await?;
    let mut output = args.server.output();
    match args.command {
        Command::Create { name, scopes, queues, expires } => {
            let expires_time = expires.map(timestamp_to_proto);
            let made = client.create_key(v1::CreateKeyRequest { name, scopes, queues, expires_time }).await?;
            if output.is_json() {
                output.json(&json::KeySecret::from(made))?;
            } else {
                note("the key is not shown again:");
                output.line(&made.secret)?;
            }
            output.flush()?;
        }
        Command::List => {
            let mut table = KeyTable::new();
            let mut request = v1::ListKeysRequest { page_size: PAGE_SIZE_MAX, ..Default::default() };
            loop {
                let page = client.list_keys(request.clone()).await?;
                show(page.keys, &mut output, &mut table)?;
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
        }
        Command::Revoke { id } => {
            let key = client.revoke_key(id).await?;
            show(vec![key], &mut output, &mut KeyTable::new())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(keys: Vec<v1::Key>, output: &mut Output, table: &mut KeyTable) -> Result<()> {
    output.all(keys, json::Key::from, |keys| table.lines(keys))
}
