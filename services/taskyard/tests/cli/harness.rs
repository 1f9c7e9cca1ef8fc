//! A running `taskyard up`, and calls of the program.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use taskyard_testkit::{Process, Sandbox};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_taskyard");
const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// What a call of the program came to.
#[derive(Debug)]
pub struct Called {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Calls the program without our environment.
pub fn call(arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Result<Called> {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("standard input")?;
    let input = input.to_vec();
    // On a thread of its own: the program may fill its output first. It may also end without having read all.
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output()?;
    let _ = writing.join();
    Ok(Called {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

impl Called {
    /// Its output, if it ended well.
    pub fn good(self) -> Result<String> {
        ensure!(self.code == 0, "it ended with {}: {}{}", self.code, self.out, self.err);
        Ok(self.out)
    }

    /// The JSON documents of its output, if it ended well.
    pub fn documents(self) -> Result<Vec<Value>> {
        documents(&self.good()?)
    }

    /// The only one.
    pub fn document(self) -> Result<Value> {
        let mut documents = self.documents()?;
        ensure!(documents.len() == 1, "{documents:?}");
        documents.pop().context("a document")
    }
}

/// One JSON document a line.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))).collect()
}

/// `taskyard up` on servers that other tests use too.
pub struct Up {
    pub process: Process,
    pub url: String,
    pub ops: String,
    /// The key that the command line shows.
    pub key: String,
    sandbox: Sandbox,
    // Removed with it.
    folder: tempfile::TempDir,
}

impl Up {
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    pub async fn start_with(flags: &[&str]) -> Result<Self> {
        let sandbox = Sandbox::shared().await?;
        let any = "127.0.0.1:0";
        let folder = tempfile::tempdir()?;
        let dir = folder.path().to_string_lossy().into_owned();
        let mut arguments = vec!["up", "--listen", any, "--tasks-listen", any, "--ops-listen", any];
        arguments.extend(["--prefix", sandbox.prefix(), "--dir", &dir]);
        arguments.extend(flags);
        let process = Process::spawn(PROGRAM, arguments, sandbox.environment())?;
        process_url(process, sandbox, folder).await
    }

    /// Calls the program as a client of this server.
    pub fn call(&self, arguments: &[&str]) -> Result<Called> {
        self.call_with(arguments, b"")
    }

    pub fn call_with(&self, arguments: &[&str], input: &[u8]) -> Result<Called> {
        call(arguments, &[("TASKYARD_URL", &self.url), ("TASKYARD_TOKEN", &self.key)], input)
    }

    /// The folder of its data.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What names its servers.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.sandbox.environment().into_iter().map(|(name, value)| (name.into(), value)).collect()
    }

    /// The first administrator.
    pub fn account(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(self.folder().join("account.json"))?)?)
    }

    /// What REST answers.
    pub fn rest(&self, path: &str) -> Result<Value> {
        let address: SocketAddr = self.url.trim_start_matches("http://").parse()?;
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            self.key
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(serde_json::from_str(body)?)
    }

    /// Stops it as Ctrl-C does; it must end well.
    pub async fn stop(mut self) -> Result<()> {
        self.process.signal(taskyard_devstack::process::Signal::INT)?;
        let status = self.process.wait_exit(STOPPED_WITHIN).await?;
        ensure!(status.success(), "it ended with {status}: {}", self.process.output());
        self.sandbox.close().await
    }
}

async fn process_url(mut process: Process, sandbox: Sandbox, folder: tempfile::TempDir) -> Result<Up> {
    let line = process.wait_for_output("REST and gRPC", READY_WITHIN).await?;
    let url = line.split_whitespace().last().context("a URL")?.to_owned();
    let line = process.wait_for_output("/readyz", READY_WITHIN).await?;
    let ops = line.split_whitespace().last().context("a URL")?.trim_end_matches("/readyz").to_owned();
    process.wait_for_output("Ctrl-C stops it", READY_WITHIN).await?;
    let account: Value = serde_json::from_slice(&std::fs::read(folder.path().join("account.json"))?)?;
    let key = account["key"].as_str().context("a key")?.to_owned();
    Ok(Up { process, url, ops, key, sandbox, folder })
}
