//! Valkey, which is only a cache and keeps nothing on disk.

use std::io;
use std::net::Ipv4Addr;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Plan, Probe};
use crate::guard::{Charge, Stop};
use crate::home::Home;
use crate::install::Programs;
use crate::place::create_private;
use crate::secrets::{Access, write_private};

/// Writes the configuration.
pub(crate) fn plan(home: &Home, programs: &Programs, access: &Access) -> Result<Plan> {
    let data = home.data("valkey");
    create_private(&data)?;
    let configuration = home.configuration("valkey");
    // The title stays the command line, by which a later run knows it again.
    let text = format!(
        "bind 127.0.0.1\nport {}\nrequirepass {}\ndir {:?}\nsave \"\"\nappendonly no\nmaxmemory 256mb\nmaxmemory-policy allkeys-lru\nset-proc-title no\n",
        access.port,
        access.password,
        data.display().to_string()
    );
    write_private(&configuration, text.as_bytes())?;
    Ok(Plan {
        name: "Valkey",
        file_name: "valkey",
        mark: configuration.display().to_string(),
        charge: Charge {
            program: programs.valkey.clone(),
            arguments: vec![configuration.into_os_string()],
            environment: Vec::new(),
            stop: Stop::Terminate,
            account: None,
        },
        data,
        port: access.port,
        url: format!("redis://default:{}@127.0.0.1:{}", access.password, access.port),
        probe: Probe::Valkey { password: access.password.clone() },
    })
}

/// Whether it answers a ping to whoever knows the password.
pub(super) async fn is_ready(port: u16, password: &str) -> io::Result<bool> {
    const ANSWER: &[u8] = b"+OK\r\n+PONG\r\n";
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection.write_all(format!("AUTH default {password}\r\nPING\r\n").as_bytes()).await?;
    let mut answer = [0; ANSWER.len()];
    connection.read_exact(&mut answer).await?;
    Ok(answer == ANSWER)
}
