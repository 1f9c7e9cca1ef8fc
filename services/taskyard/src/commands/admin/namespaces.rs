//! `taskyard admin list-namespaces` and `limit-namespace`.

use std::{process::ExitCode, str::FromStr};

use anyhow::Result;
use taskyard_client::{Client, v1};
use taskyard_core::{Error, ErrorCode, limits::PAGE_SIZE_MAX};

use crate::{
    exit::{Outcome, Usage},
    json,
    output::Output,
    server::ServerArgs,
    text::NamespaceOverviewTable,
};

/// Which server, and which one.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only the one with this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Which server, which namespace, and how much.
#[derive(clap::Args, Debug)]
pub struct LimitArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The namespace
    name: String,
    /// Waiting and running tasks; `default`: what the installation has for all
    #[arg(long, value_name = "NUMBER")]
    active_tasks: Option<Most>,
    /// Bytes of payload in these; `default`: what the installation has for all
    #[arg(long, value_name = "BYTES")]
    payload_bytes: Option<Most>,
    /// Queues; `default`: what the installation has for all
    #[arg(long, value_name = "NUMBER")]
    queues: Option<Most>,
}

/// A limit of a namespace's own, or that of the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most(Option<u64>);

impl FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self(None));
        }
        text.parse().map(|number| Self(Some(number))).map_err(|_| "give a number, or `default`".to_owned())
    }
}

/// Lists namespaces.
pub async fn list(args: ListArgs) -> Outcome {
    let client = args.server.connect().await?;
    let mut output = args.server.output();
    let mut table = NamespaceOverviewTable::new();
    if let Some(name) = args.name {
        show(vec![find(&client, &name).await?], &mut output, &mut table)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut request = v1::ListAllNamespacesRequest { page_size: PAGE_SIZE_MAX, ..Default::default() };
    loop {
        let page = client.list_all_namespaces(request.clone()).await?;
        show(page.namespaces, &mut output, &mut table)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Sets what a namespace may have, and shows it.
pub async fn limit(args: LimitArgs) -> Outcome {
    let LimitArgs { server, name, active_tasks, payload_bytes, queues } = args;
    if active_tasks.is_none() && payload_bytes.is_none() && queues.is_none() {
        return Err(Usage::error("nothing to change: give --active-tasks, --payload-bytes or --queues"));
    }
    let queues = queues.map(|Most(most)| most.map(u32::try_from).transpose()).transpose();
    let queues = queues.map_err(|_| Usage::error("--queues is too large"))?;
    let client = server.connect().await?;
    // What is not named stays.
    let mut quota = find(&client, &name).await?.quota.unwrap_or_default();
    if let Some(Most(most)) = active_tasks {
        quota.active_tasks_max = most;
    }
    if let Some(Most(most)) = payload_bytes {
        quota.payload_bytes_max = most;
    }
    if let Some(most) = queues {
        quota.queues_max = most;
    }
    client.set_namespace_quota(name.clone(), quota).await?;
    let namespace = find(&client, &name).await?;
    show(vec![namespace], &mut server.output(), &mut NamespaceOverviewTable::new())?;
    Ok(ExitCode::SUCCESS)
}

async fn find(client: &Client, name: &str) -> Result<v1::NamespaceOverview> {
    let request = v1::ListAllNamespacesRequest { name: name.to_owned(), ..Default::default() };
    let found = client.list_all_namespaces(request).await?.namespaces.pop();
    Ok(found.ok_or_else(|| Error::new(ErrorCode::NamespaceNotFound, format!("there is no namespace `{name}`")))?)
}

fn show(namespaces: Vec<v1::NamespaceOverview>, output: &mut Output, table: &mut NamespaceOverviewTable) -> Result<()> {
    output.all(namespaces, json::NamespaceOverview::from, |namespaces| table.lines(namespaces))
}
