//! PostgreSQL: its cluster, its settings, and the first words of its protocol.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{Plan, Probe};
use crate::account::Account;
use crate::guard::{Charge, Stop};
use crate::home::Home;
use crate::install::Programs;
use crate::place::create_private;
use crate::secrets::{Access, write_private};

/// The superuser of the cluster and the name of its database.
const NAME: &str = "taskyard";

/// Those that are not the default. `fsync` and `synchronous_commit` stay on.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("shared_preload_libraries", "pg_stat_statements"),
    ("max_connections", "300"),
    ("shared_buffers", "128MB"),
    ("max_wal_size", "4GB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// Makes the cluster when there is none.
pub(crate) async fn plan(
    home: &Home,
    programs: &Programs,
    access: &Access,
    account: Option<Account>,
    settings: &[(String, String)],
    on_step: &impl Fn(&str),
) -> Result<Plan> {
    let data = home.data("postgres");
    if !data.exists() {
        on_step("Making the PostgreSQL data folder");
        let partial = home.data("postgres.partial");
        make_cluster(&partial, home, programs, access, account)
            .await
            .context("cannot make the PostgreSQL data folder")?;
        fs::rename(&partial, &data).with_context(|| format!("cannot move {}", partial.display()))?;
    }
    let mut arguments = vec!["-D".into(), data.clone().into_os_string(), "-p".into(), access.port.to_string().into()];
    let ours = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The last one of a name wins.
    for (name, value) in ours.iter().chain(settings) {
        arguments.extend(["-c".into(), format!("{name}={value}").into()]);
    }
    Ok(Plan {
        name: "PostgreSQL",
        file_name: "postgres",
        // "Fast": connections are ended, what is committed is written.
        charge: Charge {
            program: programs.postgres.clone(),
            arguments,
            environment: Vec::new(),
            stop: Stop::Interrupt,
            account,
        },
        mark: format!("-D {} ", data.display()),
        data,
        port: access.port,
        url: format!("postgres://{NAME}:{}@127.0.0.1:{}/{NAME}", access.password, access.port),
        probe: Probe::Postgres,
    })
}

/// Whether it takes connections: the answer to a startup message is then a question for the password, and an error
/// while it starts.
pub(super) async fn is_ready(port: u16) -> io::Result<bool> {
    const PROTOCOL_3_0: u32 = 3 << 16;
    let parameters = format!("user\0{NAME}\0database\0{NAME}\0\0");
    let length = u32::try_from(8 + parameters.len()).map_err(io::Error::other)?;
    let mut message = length.to_be_bytes().to_vec();
    message.extend(PROTOCOL_3_0.to_be_bytes());
    message.extend(parameters.as_bytes());

    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection.write_all(&message).await?;
    Ok(connection.read_u8().await? == b'R')
}

async fn make_cluster(
    dir: &Path,
    home: &Home,
    programs: &Programs,
    access: &Access,
    account: Option<Account>,
) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    create_private(dir)?;
    // Beside the data, where PostgreSQL's account can read it; gone when the cluster is made.
    let password = home.dir().join("postgres.password");
    write_private(&password, access.password.as_bytes())?;
    if let Some(account) = account {
        account.own(dir)?;
        account.own(&password)?;
    }
    let mut initdb = command(&programs.initdb, home, account);
    initdb.arg("-D").arg(dir).args(["-U", NAME, "-A", "scram-sha-256"]).arg("--pwfile").arg(&password);
    initdb.args(["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]).args(libc_locale());
    // Waiting for the disk takes seconds here, and a cluster that a power cut spoils now holds nothing yet.
    initdb.arg("--no-sync");
    let made = run(initdb, None).await;
    let _ = fs::remove_file(&password);
    made?;

    let mut single = command(&programs.postgres, home, account);
    single.arg("--single").arg("-D").arg(dir).args(["-c", "fsync=off", "postgres"]);
    run(single, Some(&format!("CREATE DATABASE {NAME};\n"))).await
}

/// pg_trgm asks the C library what is a letter; with its locale C, only ASCII would be.
fn libc_locale() -> &'static [&'static str] {
    if cfg!(target_os = "macos") { &["--locale=C", "--lc-ctype=en_US.UTF-8"] } else { &["--locale=C.UTF-8"] }
}

fn command(program: &Path, home: &Home, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home.dir()).env("LC_ALL", "C").env("TZ", "UTC").kill_on_drop(true);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

async fn run(mut command: Command, input: Option<&str>) -> Result<()> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = command.as_std().get_program().to_owned();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", name.display()))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes()).await.with_context(|| format!("cannot write to {}", name.display()))?;
    }
    let output = child.wait_with_output().await.with_context(|| format!("cannot wait for {}", name.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}):\n{}", name.display(), output.status, said.trim());
    }
    Ok(())
}
