//! Which protocol a client speaks, by its first bytes.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::sleep};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client begins with HTTP/2. Nothing is taken from the stream. The caller bounds the time.
pub(super) async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || first[..seen] != PREFACE[..seen] {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        // A preface cut up by the network: what is there already makes the next peek return at once.
        sleep(Duration::from_millis(5)).await;
    }
}
