//! Opens connections to replicas.
//!
//! Invariant: a connection handed out leads to the replica's address and not back to ourselves.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use config::settings::Limits;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// How long a machine may keep us waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without a word, before it is taken for gone.
    pub vanished: Duration,
}

impl Patience {
    /// As the settings say.
    pub fn of(limits: &Limits) -> Patience {
        Patience { connect: Duration::from_millis(limits.connect_timeout_ms), vanished: Duration::from_millis(limits.vanished_ms) }
    }
}

/// Connects within the time for it, without Nagle's delay.
///
/// # Errors
/// What the system says; [`io::ErrorKind::TimedOut`] after that time; [`io::ErrorKind::ConnectionRefused`] for a connection that
/// TCP made with itself, which loopback does when nobody listens on an ephemeral port.
pub async fn connect(address: SocketAddr, patience: Patience) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(patience.connect, TcpStream::connect(address)).await??;
    if address.ip().is_loopback() && stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    watch(&stream, patience.vanished)?;
    Ok(stream)
}

/// A machine that vanished says nothing: what is sent must be acknowledged from now on, and silence is asked about. To the system one
/// that takes nothing, though it acknowledges, is no better.
///
/// # Errors
/// What the system says.
pub fn watch(stream: &TcpStream, vanished: Duration) -> io::Result<()> {
    // The system counts the silence of an idle connection in whole seconds, and refuses none.
    let interval = (vanished / 3).max(Duration::from_secs(1));
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(vanished))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(vanished).with_interval(interval).with_retries(3))
}

/// Whether a connection broke since nobody was there any more, instead of somebody ending it.
pub fn is_vanished(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

#[cfg(test)]
mod tests;
