//! NATS with JetStream.

use std::io;
use std::net::Ipv4Addr;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::{Plan, Probe};
use crate::guard::{Charge, Stop};
use crate::home::Home;
use crate::install::Programs;
use crate::place::create_private;
use crate::secrets::{Access, write_private};

const USER: &str = "taskyard";

/// Writes the configuration.
pub(crate) fn plan(home: &Home, programs: &Programs, access: &Access) -> Result<Plan> {
    let data = home.data("nats");
    create_private(&data)?;
    let configuration = home.configuration("nats");
    let text = format!(
        "server_name: taskyard\nlisten: \"127.0.0.1:{}\"\nmax_payload: 8MB\n\
         authorization {{ user: {USER}, password: \"{}\" }}\njetstream {{ store_dir: {:?} }}\n",
        access.port,
        access.password,
        data.display().to_string()
    );
    write_private(&configuration, text.as_bytes())?;
    Ok(Plan {
        name: "NATS",
        file_name: "nats",
        mark: configuration.display().to_string(),
        charge: Charge {
            program: programs.nats.clone(),
            arguments: vec!["-c".into(), configuration.into_os_string()],
            environment: Vec::new(),
            stop: Stop::Terminate,
            account: None,
        },
        data,
        port: access.port,
        url: format!("nats://{USER}:{}@127.0.0.1:{}", access.password, access.port),
        probe: Probe::Nats,
    })
}

/// Whether it greets, with JetStream up.
pub(super) async fn is_ready(port: u16) -> io::Result<bool> {
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut greeting = String::new();
    BufReader::new(connection).read_line(&mut greeting).await?;
    Ok(greeting.starts_with("INFO ") && greeting.contains("\"jetstream\":true"))
}
