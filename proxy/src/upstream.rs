//! Opens connections to replicas.
//!
//! Invariant: a connection handed out leads to the replica's address and not back to ourselves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A machine that acknowledges nothing for so long is taken for gone.
const VANISHED: Duration = Duration::from_secs(30);

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
    watch(&stream)?;
    Ok(stream)
}

/// A machine that vanished says nothing: what is sent must be acknowledged from now on, and silence is asked about.
///
/// # Errors
/// What the system says.
pub fn watch(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(VANISHED))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(VANISHED).with_interval(VANISHED / 3).with_retries(3))
}

#[cfg(test)]
mod tests;
