//! `taskyard task delete`.

use super::each::each;
use crate::{exit::Outcome, server::ServerArgs};

/// Which tasks.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The tasks' ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// Deletes them.
pub async fn run(server: &ServerArgs, args: Args) -> Outcome {
    let client = server.connect().await?;
    each(server, &args.ids, async |id| client.delete_task(id).await.map(|()| None)).await
}
