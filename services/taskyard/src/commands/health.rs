//! `taskyard health`: for containers that have no shell.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use http::{Request, StatusCode, Uri, header::HOST};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::{
    exit::{Outcome, Usage},
    output::{Output, note},
};

/// Below the second that Kubernetes gives a probe.
const WITHIN: Duration = Duration::from_millis(900);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Whom to ask.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Where the role's health is served
    #[arg(long, env = "TASKYARD_HEALTH_URL", default_value = "http://127.0.0.1:9090", value_name = "URL")]
    url: Uri,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    missing: Vec<String>,
}

/// Asks once. Not ready is a failure, with what is missing.
pub async fn run(args: Args) -> Outcome {
    let authority = args.url.authority().filter(|_| args.url.scheme_str() == Some("http"));
    let Some(authority) = authority else {
        return Err(Usage::error(format!("--url is `{}`; it must be like http://127.0.0.1:9090", args.url)));
    };
    let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
    let asked = tokio::time::timeout(WITHIN, ask(host, port, authority.as_str())).await;
    let (status, answer) =
        asked.unwrap_or_else(|_| bail!("no answer within {WITHIN:?}")).with_context(|| format!("{}", args.url))?;
    if status == StatusCode::OK {
        let mut output = Output::new(false);
        output.line("ready")?;
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    match serde_json::from_slice::<Answer>(&answer) {
        Ok(answer) if !answer.missing.is_empty() => note(&format!("not ready: {}", answer.missing.join(", "))),
        _ => note(&format!("not ready: the answer was {status}")),
    }
    Ok(ExitCode::FAILURE)
}

async fn ask(host: &str, port: u16, authority: &str) -> Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect((host, port)).await.context("cannot connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, authority).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("no answer")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok((status, body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes)))
}
