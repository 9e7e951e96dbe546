//! Opens connections to replicas.
//!
//! Invariant: a connection handed out leads to the replica's address and not back to ourselves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;

/// Connects within `timeout`, without Nagle's delay.
///
/// # Errors
/// What the system says; [`io::ErrorKind::TimedOut`] after `timeout`; [`io::ErrorKind::ConnectionRefused`] for a connection that
/// TCP made with itself, which loopback does when nobody listens on an ephemeral port.
pub async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await??;
    if address.ip().is_loopback() && stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}
