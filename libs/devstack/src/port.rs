//! Ports on loopback.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the system takes the ports of outgoing connections (from 32768 on Linux, from 49152 on
/// macOS) and below Kubernetes' node ports, so that nothing else is handed a port between our choice and its use.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// A TCP port on 127.0.0.1 that nothing listens on now.
///
/// # Errors
/// When a hundred random ports are all taken.
pub fn free_port() -> io::Result<u16> {
    (0..100)
        .map(|_| rand::random_range(RANGE))
        .find(|port| is_free(*port))
        .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port on 127.0.0.1 found in a hundred tries"))
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
